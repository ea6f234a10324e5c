// B = sum over the terms of a polynomial of K * (product of components of A), channel by channel (polynomial.py).
//
// The terms of each row of B are a tree: a node at the path (a, b, ...) is worth
//     V = k_own + sum over leaves c of k_c A_c + sum over inner children c of A_c V_c,
// which is Horner's rule for several variables, one multiply-add for each coefficient. With S the product of the
// components on the way to a node, times the gradient by the row, the same walk gives the gradient by A: each leaf adds
// S k_c to it and each inner child S V_c.
//
// Children that have leaves only are kept in runs of alike ones, whose loops are unrolled. The program lists the nodes in
// the order of the walk, each child after its component:
//     node:  has k_own, leaves, runs, inner children; components of the leaves; the runs; the inner children
//     run:   have k_own, leaves of each, how many; for each its component and those of its leaves
// Coefficients are consumed in that order: [sets, blocks, coefficients, channels of a block]. A block is 64 bytes of
// channels, so that the coefficients of one stay in the cache of first level while the atoms of the set pass. Each step
// of the walk serves a tile of several atoms at once, which pays for reading the program.
#include "common.hpp"
#include <cstring>

#if defined(__AVX512F__)
constexpr int BYTES = 64;
#elif defined(__AVX__)
constexpr int BYTES = 32;
#else
constexpr int BYTES = 16;
#endif
constexpr int BLOCK = 64;      // bytes of channels that lie side by side in the coefficients
constexpr index_t CHUNK = 64;  // atoms whose features stay in the cache of second level

#define INLINE inline __attribute__((always_inline))
#define UNROLL _Pragma("GCC unroll 8")

template <typename T>
struct Lanes {
    typedef T vec __attribute__((vector_size(BYTES)));
    typedef T loose __attribute__((vector_size(BYTES), aligned(sizeof(T)), may_alias));
    static constexpr int count = BYTES / sizeof(T);
    static constexpr int block = BLOCK / sizeof(T);
};

template <typename T, int N, bool BACK>
struct Walk {
    using vec = typename Lanes<T>::vec;
    using loose = typename Lanes<T>::loose;
    const int32_t* __restrict p;
    const T* __restrict k;
    const vec* __restrict A;  // [components, N]
    vec* __restrict G;        // [components, N]

    INLINE vec coefficient() {
        const vec value = *(const loose*)k;
        k += Lanes<T>::block;
        return value;
    }

    INLINE void leaf(index_t component, vec (&V)[N], const vec (&S)[N]) {
        const index_t c = component * N;
        const vec value = coefficient();
        UNROLL for (int n = 0; n < N; ++n) V[n] += A[c + n] * value;
        if constexpr (BACK) UNROLL for (int n = 0; n < N; ++n) G[c + n] += S[n] * value;
    }

    INLINE void enter(index_t component, const vec (&S)[N], vec (&s)[N]) {
        if constexpr (BACK) UNROLL for (int n = 0; n < N; ++n) s[n] = S[n] * A[component * N + n];
    }

    INLINE void leave(index_t component, vec (&V)[N], const vec (&S)[N], const vec (&v)[N]) {
        const index_t c = component * N;
        UNROLL for (int n = 0; n < N; ++n) V[n] += A[c + n] * v[n];
        if constexpr (BACK) UNROLL for (int n = 0; n < N; ++n) G[c + n] += S[n] * v[n];
    }

    // `count` children that have `leaves` leaves and no inner children
    template <int fixed>
    INLINE void run(int32_t own, int32_t leaves, int32_t count, vec (&V)[N], const vec (&S)[N]) {
        if (fixed) leaves = fixed;
        for (; count > 0; --count, p += 1 + leaves) {
            vec v[N], s[N];
            enter(p[0], S, s);
            const vec start = own ? coefficient() : vec{};
            UNROLL for (int n = 0; n < N; ++n) v[n] = start;
            UNROLL for (int32_t c = 1; c <= leaves; ++c) leaf(p[c], v, s);
            leave(p[0], V, S, v);
        }
    }

    // the node at p, which has `height` generations of inner children before those of its runs
    template <int height>
    INLINE void node(index_t levels, vec (&V)[N], const vec (&S)[N]) {
        const int32_t own = p[0], leaves = p[1], runs = p[2], inner = p[3];
        p += 4;
        const vec start = own ? coefficient() : vec{};
        UNROLL for (int n = 0; n < N; ++n) V[n] = start;
        for (int32_t c = 0; c < leaves; ++c) leaf(p[c], V, S);
        p += leaves;
        for (int32_t r = 0; r < runs; ++r) {
            const int32_t with = p[0], size = p[1], count = p[2];
            p += 3;
            switch (size) {
                case 1: run<1>(with, size, count, V, S); break;
                case 2: run<2>(with, size, count, V, S); break;
                case 3: run<3>(with, size, count, V, S); break;
                default: run<0>(with, size, count, V, S);
            }
        }
        if constexpr (height > 0)
            for (int32_t child = 0; child < inner; ++child) {
                const index_t c = *p++;
                vec v[N], s[N];
                enter(c, S, s);
                if constexpr (height == 1)
                    node<0>(0, v, s);
                else
                    tree(levels - 1, v, s);
                leave(c, V, S, v);
            }
    }

    // the same with any number of generations
    __attribute__((noinline)) void tree(index_t levels, vec (&V)[N], const vec (&S)[N]) {
        levels <= 1 ? node<1>(levels, V, S) : node<2>(levels, V, S);
    }
};

template <typename T>
struct Problem {
    index_t channels, components, rows, order, coefficients;
    const int32_t* program;
    const T *K, *A, *gB;
    T* made;  // B, or the gradient by A
};

template <typename T>
inline typename Lanes<T>::vec load(const T* from, index_t count) {
    typename Lanes<T>::vec value = {};
    if (count >= Lanes<T>::count) return *(const typename Lanes<T>::loose*)from;
    std::memcpy(&value, from, count * sizeof(T));
    return value;
}

template <typename T>
inline void store(T* to, const typename Lanes<T>::vec& value, index_t count) {
    if (count >= Lanes<T>::count)
        *(typename Lanes<T>::loose*)to = value;
    else
        std::memcpy(to, &value, count * sizeof(T));
}

// N atoms, the channels from `first` on that one vector holds.
template <typename T, int N, bool BACK>
__attribute__((noinline)) void tile(const Problem<T>& q, const T* k, const index_t* atoms, index_t first,
                                    typename Lanes<T>::vec* work) {
    using vec = typename Lanes<T>::vec;
    const index_t count = q.channels - first, size = q.components * q.channels;
    vec *A = work, *G = work + q.components * N;
    for (int n = 0; n < N; ++n) {
        const T* from = q.A + atoms[n] * size + first;
        for (index_t c = 0; c < q.components; ++c) A[c * N + n] = load(from + c * q.channels, count);
    }
    if (BACK) std::fill(G, G + q.components * N, vec{});
    Walk<T, N, BACK> walk{q.program, k, A, G};
    for (index_t row = 0; row < q.rows; ++row) {
        vec V[N], S[N];
        for (int n = 0; n < N; ++n)
            S[n] = BACK ? load(q.gB + (atoms[n] * q.rows + row) * q.channels + first, count) : vec{};
        walk.tree(q.order - 2, V, S);
        if (!BACK)
            for (int n = 0; n < N; ++n) store(q.made + (atoms[n] * q.rows + row) * q.channels + first, V[n], count);
    }
    if (BACK)
        for (int n = 0; n < N; ++n)
            for (index_t c = 0; c < q.components; ++c)
                store(q.made + atoms[n] * size + c * q.channels + first, G[c * N + n], count);
}

struct Chunk {
    index_t set, begin, end;
};

// Atoms sorted by their set of coefficients, cut into chunks.
inline std::vector<Chunk> chunks(index_t atoms, index_t sets, const index_t* element, std::vector<index_t>& order) {
    std::vector<index_t> begins(sets + 1, 0);
    for (index_t i = 0; i < atoms; ++i) ++begins[(sets == 1 ? 0 : element[i]) + 1];
    for (index_t e = 0; e < sets; ++e) begins[e + 1] += begins[e];
    std::vector<index_t> place(begins);
    order.resize(atoms);
    for (index_t i = 0; i < atoms; ++i) order[place[sets == 1 ? 0 : element[i]]++] = i;
    std::vector<Chunk> found;
    for (index_t e = 0; e < sets; ++e)
        for (index_t i = begins[e]; i < begins[e + 1]; i += CHUNK)
            found.push_back({e, i, std::min(i + CHUNK, begins[e + 1])});
    return found;
}

template <typename T, bool BACK>
void sweep(const Problem<T>& q, index_t atoms, index_t sets, const index_t* element, index_t threads) {
    using vec = typename Lanes<T>::vec;
    constexpr int tall = 8, low = 4;
    constexpr index_t lanes = Lanes<T>::count, block = Lanes<T>::block;
    std::vector<index_t> order;
    const std::vector<Chunk> parts = chunks(atoms, sets, element, order);
    const index_t blocks = (q.channels + block - 1) / block, slices = (q.channels + lanes - 1) / lanes;
    const index_t tasks = (index_t)parts.size() * slices;
#pragma omp parallel num_threads(threads) if (tasks > 1)
    {
        std::vector<char> room(2 * q.components * tall * sizeof(vec) + BLOCK);
        vec* work = (vec*)(((uintptr_t)room.data() + BLOCK - 1) / BLOCK * BLOCK);
#pragma omp for schedule(dynamic, 1)
        for (index_t task = 0; task < tasks; ++task) {
            const Chunk part = parts[task / slices];
            const index_t first = task % slices * lanes;
            const T* k = q.K + (part.set * blocks + first / block) * q.coefficients * block + first % block;
            index_t i = part.begin;
            for (; i + tall <= part.end; i += tall) tile<T, tall, BACK>(q, k, &order[i], first, work);
            for (; i + low <= part.end; i += low) tile<T, low, BACK>(q, k, &order[i], first, work);
            for (; i < part.end; ++i) tile<T, 1, BACK>(q, k, &order[i], first, work);
        }
    }
}

template <typename T>
void forward(index_t atoms, index_t channels, index_t components, index_t rows, index_t degree, index_t coefficients,
             index_t sets, const index_t* element, const int32_t* program, const T* K, const T* A, T* B,
             index_t threads) {
    Problem<T> q{channels, components, rows, degree, coefficients, program, K, A, nullptr, B};
    sweep<T, false>(q, atoms, sets, element, threads);
}

template <typename T>
void backward(index_t atoms, index_t channels, index_t components, index_t rows, index_t degree, index_t coefficients,
              index_t sets, const index_t* element, const int32_t* program, const T* K, const T* A, const T* gB, T* gA,
              index_t threads) {
    Problem<T> q{channels, components, rows, degree, coefficients, program, K, A, gB, gA};
    sweep<T, true>(q, atoms, sets, element, threads);
}

#define FORWARD(T)                                                                                              \
    (index_t n, index_t c, index_t m, index_t r, index_t o, index_t k, index_t s, const index_t* e,             \
     const int32_t* p, const T* K, const T* A, T* B, index_t threads)
EXPORT(forward, FORWARD, (n, c, m, r, o, k, s, e, p, K, A, B, threads))

#define BACKWARD(T)                                                                                             \
    (index_t n, index_t c, index_t m, index_t r, index_t o, index_t k, index_t s, const index_t* e,             \
     const int32_t* p, const T* K, const T* A, const T* g, T* G, index_t threads)
EXPORT(backward, BACKWARD, (n, c, m, r, o, k, s, e, p, K, A, g, G, threads))
