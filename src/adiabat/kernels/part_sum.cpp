// out_l[i, m] = sum over pairs p = (i, j) of f_p R_l(r_p) x_l[j, m] for parts l of 1, 3 and 5 rows m, R from a table
// (part_sum.py). Channels are walked 64 bytes at a time: the sums of an atom stay in registers while its pairs go by. In
// each interval of the table, the twelve rows of a block lie one after the other: three parts of four coefficients.
#include "common.hpp"

// What the loops walk by instead of a Block: one channel of an incomplete last block.
template <typename T>
struct Single {
    typedef T type;
    static T sum(T v) { return v; }
};

constexpr int ROWS = 9;

// Part and row within the part of each of the nine rows.
constexpr int PART[ROWS] = {0, 1, 1, 1, 2, 2, 2, 2, 2}, ROW[ROWS] = {0, 0, 1, 2, 0, 1, 2, 3, 4}, SIZE[3] = {1, 3, 5};

template <typename T>
struct Problem {
    index_t atoms, channels;
    const T *distances, *factors;  // of pairs
    const T* table;
    index_t intervals;
    double start, inverse_step;
    Knot<T> knot(index_t pair) const { return Knot<T>(distances[pair], start, inverse_step, intervals); }
    index_t size() const { return (channels + Block<T>::width - 1) / Block<T>::width * Block<T>::width * 12; }
};

template <typename T>
struct Pair {
    T u, factor, slope;
    const T* rows;  // of the table
    index_t other;  // the atom at the other end
    index_t pair;
};

template <typename B, typename T>
inline typename B::type& at(T* place) { return *(typename B::type*)place; }
template <typename B, typename T>
inline const typename B::type& at(const T* place) { return *(const typename B::type*)place; }

template <typename T>
void gather(const Problem<T>& q, index_t begin, index_t end, const index_t* order, const index_t* others,
            std::vector<Pair<T>>& pairs) {
    pairs.clear();
    for (index_t o = begin; o < end; ++o) {
        index_t p = order ? order[o] : o;
        Knot<T> knot = q.knot(p);
        pairs.push_back({knot.u, q.factors[p], knot.slope, q.table + knot.interval * q.size(), others[p], p});
    }
}

// `offset`: of the block or the channel within the table's rows.
template <typename B, typename T>
inline void push(const Problem<T>& q, const std::vector<Pair<T>>& pairs, index_t offset, index_t i, index_t c,
                 const T* const* x, T* const* out) {
    typedef typename B::type V;
    constexpr index_t w = Block<T>::width;
    V sums[ROWS] = {};
    for (const Pair<T>& p : pairs) {
        if (p.factor == T(0)) continue;
        const T* rows = p.rows + offset;
        V f[3];
        for (int l = 0; l < 3; ++l, rows += 4 * w)
            f[l] = p.factor * (at<B>(rows) + p.u * (at<B>(rows + w) + p.u * (at<B>(rows + 2 * w) + p.u * at<B>(rows + 3 * w))));
#pragma GCC unroll 9
        for (int k = 0; k < ROWS; ++k)
            sums[k] += f[PART[k]] * at<B>(x[PART[k]] + (p.other * SIZE[PART[k]] + ROW[k]) * q.channels + c);
    }
    for (int k = 0; k < ROWS; ++k) at<B>(out[PART[k]] + (i * SIZE[PART[k]] + ROW[k]) * q.channels + c) = sums[k];
}

template <typename T>
void forward(index_t atoms, index_t channels, const T* x0, const T* x1, const T* x2, const T* r, const T* f,
             const index_t* begins, const index_t* neighbors, const T* table, index_t intervals, double start,
             double step, T* o0, T* o1, T* o2, index_t threads) {
    constexpr index_t width = Block<T>::width;
    const Problem<T> q{atoms, channels, r, f, table, intervals, start, step};
    const T* x[3] = {x0, x1, x2};
    T* out[3] = {o0, o1, o2};
#pragma omp parallel num_threads(threads)
    {
        std::vector<Pair<T>> pairs;
#pragma omp for schedule(dynamic, 8)
        for (index_t i = 0; i < atoms; ++i) {
            gather<T>(q, begins[i], begins[i + 1], nullptr, neighbors, pairs);
            index_t c = 0;
            for (; c + width <= channels; c += width) push<Block<T>>(q, pairs, 12 * c, i, c, x, out);
            for (index_t k = c; k < channels; ++k) push<Single<T>>(q, pairs, 11 * c + k, i, k, x, out);
        }
    }
}

template <typename T>
struct Slopes {
    typename Block<T>::type value, slope;
};

// Gradients of x_j, and of r and f of its pairs, block by block added to `slopes`.
template <typename B, typename T, typename S>
inline void pull(const Problem<T>& q, const std::vector<Pair<T>>& pairs, index_t offset, index_t j, index_t c,
                 const T* const* x, const T* const* g, T* const* out, S add) {
    typedef typename B::type V;
    constexpr index_t w = Block<T>::width;
    V sums[ROWS] = {}, own[ROWS];
    for (int k = 0; k < ROWS; ++k) own[k] = at<B>(x[PART[k]] + (j * SIZE[PART[k]] + ROW[k]) * q.channels + c);
    for (size_t n = 0; n < pairs.size(); ++n) {
        const Pair<T>& p = pairs[n];
        if (p.factor == T(0)) continue;
        const T* rows = p.rows + offset;
        V f[3], df[3], dots[3] = {};
        for (int l = 0; l < 3; ++l, rows += 4 * w) {
            V d = p.u * at<B>(rows + 3 * w), e = at<B>(rows + 2 * w) + d, b = at<B>(rows + w) + p.u * e;
            df[l] = b + p.u * (e + d);
            f[l] = at<B>(rows) + p.u * b;
        }
#pragma GCC unroll 9
        for (int k = 0; k < ROWS; ++k) {
            V given = at<B>(g[PART[k]] + (p.other * SIZE[PART[k]] + ROW[k]) * q.channels + c);
            sums[k] += p.factor * f[PART[k]] * given;
            dots[PART[k]] += own[k] * given;
        }
        add(n, V(f[0] * dots[0] + f[1] * dots[1] + f[2] * dots[2]), V(df[0] * dots[0] + df[1] * dots[1] + df[2] * dots[2]));
    }
    for (int k = 0; k < ROWS; ++k) at<B>(out[PART[k]] + (j * SIZE[PART[k]] + ROW[k]) * q.channels + c) = sums[k];
}

// Runs over the pairs of each neighbor j, so that no two threads write to one place: `order` lists the pairs sorted by
// neighbor, `begins` where each neighbor's start.
template <typename T>
void backward(index_t atoms, index_t channels, const T* x0, const T* x1, const T* x2, const T* r, const T* f,
              const index_t* begins, const index_t* order, const index_t* centers, const T* table, index_t intervals,
              double start, double step, const T* g0, const T* g1, const T* g2, T* m0, T* m1, T* m2, T* mr, T* mf,
              index_t threads) {
    constexpr index_t width = Block<T>::width;
    const Problem<T> q{atoms, channels, r, f, table, intervals, start, step};
    const T *x[3] = {x0, x1, x2}, *g[3] = {g0, g1, g2};
    T* out[3] = {m0, m1, m2};
#pragma omp parallel num_threads(threads)
    {
        std::vector<Pair<T>> pairs;
        std::vector<Slopes<T>> slopes;
#pragma omp for schedule(dynamic, 8)
        for (index_t j = 0; j < atoms; ++j) {
            gather<T>(q, begins[j], begins[j + 1], order, centers, pairs);
            slopes.assign(pairs.size(), Slopes<T>{});
            index_t c = 0;
            for (; c + width <= channels; c += width)
                pull<Block<T>>(q, pairs, 12 * c, j, c, x, g, out, [&](size_t n, auto value, auto slope) {
                    slopes[n].value += value, slopes[n].slope += slope;
                });
            for (index_t k = c; k < channels; ++k)
                pull<Single<T>>(q, pairs, 11 * c + k, j, k, x, g, out, [&](size_t n, T value, T slope) {
                    slopes[n].value[0] += value, slopes[n].slope[0] += slope;
                });
            for (size_t n = 0; n < pairs.size(); ++n) {
                const Pair<T>& p = pairs[n];
                mf[p.pair] = Block<T>::sum(slopes[n].value);
                mr[p.pair] = p.factor * p.slope * Block<T>::sum(slopes[n].slope);
            }
        }
    }
}

#define FORWARD(T)                                                                                                  \
    (index_t atoms, index_t channels, const T* x0, const T* x1, const T* x2, const T* r, const T* f,                \
     const index_t* begins, const index_t* neighbors, const T* table, index_t intervals, double start, double step, \
     T* o0, T* o1, T* o2, index_t threads)
EXPORT(forward, FORWARD,
       (atoms, channels, x0, x1, x2, r, f, begins, neighbors, table, intervals, start, step, o0, o1, o2, threads))
#define BACKWARD(T)                                                                                                  \
    (index_t atoms, index_t channels, const T* x0, const T* x1, const T* x2, const T* r, const T* f,                 \
     const index_t* begins, const index_t* order, const index_t* centers, const T* table, index_t intervals,        \
     double start, double step, const T* g0, const T* g1, const T* g2, T* m0, T* m1, T* m2, T* mr, T* mf,            \
     index_t threads)
EXPORT(backward, BACKWARD,
       (atoms, channels, x0, x1, x2, r, f, begins, order, centers, table, intervals, start, step, g0, g1, g2, m0, m1,
        m2, mr, mf, threads))
