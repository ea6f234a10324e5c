// s_i + sum_j phi_1 W_1 and v_i + sum_j (phi_2 W_2 d_ij + phi_3 W_3 v_j) over pairs p = (i, j), channel by channel,
// with phi of atom j, W = f_p R(r_p) and R from a table (vector_message.py). Channels are walked 64 bytes at a time; in
// each interval of the table, the twelve rows of a block lie one after the other: three parts of four coefficients.
#include "common.hpp"

// What the loops walk by instead of a Block: one channel of an incomplete last block.
template <typename T>
struct Single {
    typedef T type;
};

template <typename T>
struct Problem {
    index_t atoms, channels;
    const T *distances, *factors, *directions;  // of pairs
    const T *phi, *vectors;                     // of atoms; with `first` all vectors are zero and never read
    const T* table;
    index_t intervals;
    double start, inverse_step;
    Knot<T> knot(index_t pair) const { return Knot<T>(distances[pair], start, inverse_step, intervals); }
    index_t size() const { return (channels + Block<T>::width - 1) / Block<T>::width * Block<T>::width * 12; }
    const T* rows(const Knot<T>& knot) const { return table + knot.interval * size(); }
};

template <typename B, typename T>
inline typename B::type& at(T* place) { return *(typename B::type*)place; }
template <typename B, typename T>
inline const typename B::type& at(const T* place) { return *(const typename B::type*)place; }

// Value and slope du of part k of the table.
template <typename B, typename T>
inline typename B::type value(const T* rows, index_t k, T u) {
    constexpr index_t w = Block<T>::width;
    rows += 4 * w * k;
    return at<B>(rows) + u * (at<B>(rows + w) + u * (at<B>(rows + 2 * w) + u * at<B>(rows + 3 * w)));
}
template <typename B, typename T>
inline typename B::type both(const T* rows, index_t k, T u, typename B::type& slope) {
    constexpr index_t w = Block<T>::width;
    rows += 4 * w * k;
    typename B::type d = u * at<B>(rows + 3 * w), c = at<B>(rows + 2 * w) + d, b = at<B>(rows + w) + u * c;
    slope = b + u * (c + d);
    return at<B>(rows) + u * b;
}

template <typename T>
struct Pair {
    T u, factor, x, y, z;
};

template <typename B, bool first, typename T>
inline void push(index_t n, const Pair<T>& p, const T* rows, const T* h, const T* v, T* s, T* out) {
    typedef typename B::type V;
    at<B>(s) += p.factor * value<B>(rows, 0, p.u) * at<B>(h);
    V along = p.factor * value<B>(rows, 1, p.u) * at<B>(h + n);
    V x = along * p.x, y = along * p.y, z = along * p.z;
    if (!first) {
        V kept = p.factor * value<B>(rows, 2, p.u) * at<B>(h + 2 * n);
        x += kept * at<B>(v), y += kept * at<B>(v + n), z += kept * at<B>(v + 2 * n);
    }
    at<B>(out) += x, at<B>(out + n) += y, at<B>(out + 2 * n) += z;
}

template <typename T, bool first>
void forward(const Problem<T>& q, const index_t* begins, const index_t* neighbors, const T* s, T* made_s, T* made_v,
             index_t threads) {
    constexpr index_t width = Block<T>::width;
    const index_t n = q.channels;
#pragma omp parallel for num_threads(threads) schedule(dynamic, 16)
    for (index_t i = 0; i < q.atoms; ++i) {
        T *sums = made_s + i * n, *vectors = made_v + i * 3 * n;
        std::copy(s + i * n, s + (i + 1) * n, sums);
        if (first) std::fill(vectors, vectors + 3 * n, T(0));
        else std::copy(q.vectors + i * 3 * n, q.vectors + (i + 1) * 3 * n, vectors);
        for (index_t p = begins[i]; p < begins[i + 1]; ++p) {
            if (q.factors[p] == T(0)) continue;
            const Knot<T> knot = q.knot(p);
            const T *d = q.directions + 3 * p, *rows = q.rows(knot);
            const Pair<T> pair{knot.u, q.factors[p], d[0], d[1], d[2]};
            const T *h = q.phi + neighbors[p] * 3 * n, *v = first ? nullptr : q.vectors + neighbors[p] * 3 * n;
            index_t c = 0;
            for (; c + width <= n; c += width)
                push<Block<T>, first>(n, pair, rows + 12 * c, h + c, v + c, sums + c, vectors + c);
            for (index_t k = c; k < n; ++k)
                push<Single<T>, first>(n, pair, rows + 11 * c + k, h + k, v + k, sums + k, vectors + k);
        }
    }
}

template <typename B>
struct Sums {
    typename B::type slope, value, x, y, z;
};

template <typename B, bool first, typename T>
inline void pull(index_t n, const Pair<T>& p, const T* rows, const T* h, const T* v, const T* gs, const T* gv, T* gh,
                 T* out, Sums<B>& sums) {
    typedef typename B::type V;
    V slope, w = both<B>(rows, 0, p.u, slope), g = at<B>(gs), wg = w * g;
    at<B>(gh) += p.factor * wg;
    sums.value += wg * at<B>(h);
    sums.slope += slope * g * at<B>(h);
    V x = at<B>(gv), y = at<B>(gv + n), z = at<B>(gv + 2 * n), along = p.x * x + p.y * y + p.z * z;
    w = both<B>(rows, 1, p.u, slope);
    at<B>(gh + n) += p.factor * w * along;
    sums.slope += slope * at<B>(h + n) * along;
    w *= at<B>(h + n);
    sums.x += w * x, sums.y += w * y, sums.z += w * z;
    if (first) return;
    V kept = at<B>(v) * x + at<B>(v + n) * y + at<B>(v + 2 * n) * z;
    w = both<B>(rows, 2, p.u, slope);
    at<B>(gh + 2 * n) += p.factor * w * kept;
    sums.slope += slope * at<B>(h + 2 * n) * kept;
    w *= at<B>(h + 2 * n);
    sums.value += w * kept;
    w *= p.factor;
    at<B>(out) += w * x, at<B>(out + n) += w * y, at<B>(out + 2 * n) += w * z;
}

// Runs over the pairs of each neighbor j, so that no two threads write to one place: `order` lists the pairs sorted by
// neighbor, `begins` where each neighbor's start.
template <typename T, bool first>
void backward(const Problem<T>& q, const index_t* begins, const index_t* order, const index_t* centers,
              const T* given_s, const T* given_v, T* made_phi, T* made_r, T* made_f, T* made_d, T* made_s, T* made_v,
              index_t threads) {
    constexpr index_t width = Block<T>::width;
    const index_t n = q.channels;
#pragma omp parallel for num_threads(threads) schedule(dynamic, 16)
    for (index_t j = 0; j < q.atoms; ++j) {
        const T *h = q.phi + j * 3 * n, *v = first ? nullptr : q.vectors + j * 3 * n;
        T *gh = made_phi + j * 3 * n, *out = first ? nullptr : made_v + j * 3 * n;
        std::fill(gh, gh + 3 * n, T(0));
        std::copy(given_s + j * n, given_s + (j + 1) * n, made_s + j * n);
        if (!first) std::copy(given_v + j * 3 * n, given_v + (j + 1) * 3 * n, out);
        for (index_t o = begins[j]; o < begins[j + 1]; ++o) {
            const index_t p = order[o];
            const Knot<T> knot = q.knot(p);
            const T *d = q.directions + 3 * p, *rows = q.rows(knot);
            const T *gs = given_s + centers[p] * n, *gv = given_v + centers[p] * 3 * n;
            const Pair<T> pair{knot.u, q.factors[p], d[0], d[1], d[2]};
            Sums<Block<T>> sums{};
            Sums<Single<T>> rest{};
            index_t c = 0;
            for (; c + width <= n; c += width)
                pull<Block<T>, first>(n, pair, rows + 12 * c, h + c, v + c, gs + c, gv + c, gh + c, out + c, sums);
            for (index_t k = c; k < n; ++k)
                pull<Single<T>, first>(n, pair, rows + 11 * c + k, h + k, v + k, gs + k, gv + k, gh + k, out + k, rest);
            T x = rest.x + Block<T>::sum(sums.x), y = rest.y + Block<T>::sum(sums.y);
            T z = rest.z + Block<T>::sum(sums.z);
            made_r[p] = pair.factor * (rest.slope + Block<T>::sum(sums.slope)) * knot.slope;
            made_f[p] = rest.value + Block<T>::sum(sums.value) + pair.x * x + pair.y * y + pair.z * z;
            made_d[3 * p] = pair.factor * x, made_d[3 * p + 1] = pair.factor * y, made_d[3 * p + 2] = pair.factor * z;
        }
    }
}

#define COMMON(T)                                                                                                   \
    index_t atoms, index_t channels, index_t first, const T *phi, const T *r, const T *f, const T *d, const T *s,   \
        const T *v, const index_t *begins, const index_t *order, const index_t *others, const T *table,             \
        index_t intervals, double start, double step
#define PROBLEM(T) Problem<T> q{atoms, channels, r, f, d, phi, v, table, intervals, start, step};
#define ENTRIES(T, suffix)                                                                                          \
    extern "C" void forward_##suffix(COMMON(T), T* ms, T* mv, index_t threads) {                                    \
        PROBLEM(T)                                                                                                  \
        (first ? forward<T, true> : forward<T, false>)(q, begins, others, s, ms, mv, threads);                      \
    }                                                                                                               \
    extern "C" void backward_##suffix(COMMON(T), const T* gs, const T* gv, T* mphi, T* mr, T* mf, T* md, T* ms,     \
                                      T* mv, index_t threads) {                                                     \
        PROBLEM(T)                                                                                                  \
        (first ? backward<T, true> : backward<T, false>)(q, begins, order, others, gs, gv, mphi, mr, mf, md, ms,    \
                                                         mv, threads);                                              \
    }
ENTRIES(float, f32)
ENTRIES(double, f64)
