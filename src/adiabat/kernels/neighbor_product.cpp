// out_i[m, path, c] = sum over pairs (i, j) and over n of R_path,c(r) M_path[n, m] h_j[n, c], R from a table
// (neighbor_product.py). Channels are walked 64 bytes at a time; the caller pads them to whole blocks.
#include "common.hpp"

struct Path {
    index_t source;    // first row of h
    index_t coupling;  // first entry of M
    index_t output;    // which output tensor
    index_t slot;      // which column of blocks of channels in it
};

template <typename T>
struct Problem {
    index_t atoms, channels, features, paths, couplings, outputs;
    const index_t *sizes_in, *sizes_out, *plan;  // per path: 2l+1 in and out; the four numbers of a Path
    const index_t* columns;                      // per output: its number of paths
    const T *distances, *coupled, *features_in, *table;
    const index_t* kinds;
    index_t intervals;
    double start, stop, inverse_step;
    Path path(index_t p) const { return {plan[4 * p], plan[4 * p + 1], plan[4 * p + 2], plan[4 * p + 3]}; }
    const T* coefficients(index_t pair, index_t interval) const {
        return table + (kinds[pair] * intervals + interval) * 4 * paths * channels;
    }
    index_t size(index_t output) const {  // of one atom
        return columns[output] * channels;
    }
};

template <typename T, int N, int M>
void add(index_t channels, const T* a, index_t stride, T u, const T* m, const T* h, T* out, index_t row) {
    typedef typename Block<T>::type V;
    for (index_t c = 0; c < channels; c += Block<T>::width) {
        V f = *(V*)(a + c) + u * (*(V*)(a + stride + c) + u * (*(V*)(a + 2 * stride + c) + u * *(V*)(a + 3 * stride + c)));
        V v[N];
        for (int n = 0; n < N; ++n) v[n] = f * *(V*)(h + n * channels + c);
        for (int k = 0; k < M; ++k) {
            V sum = *(V*)(out + k * row + c);
            for (int n = 0; n < N; ++n) sum += m[n * M + k] * v[n];
            *(V*)(out + k * row + c) = sum;
        }
    }
}

// Gradients of one pair and path: of h (added), of M (set), of the distance (returned).
template <typename T, int N, int M>
T pull(index_t channels, const T* a, index_t stride, T u, const T* m, const T* h, const T* g, index_t row, T* gh, T* gm) {
    typedef typename Block<T>::type V;
    V sums[N * M] = {}, slope = {};
    for (index_t c = 0; c < channels; c += Block<T>::width) {
        V a0 = *(V*)(a + c), a1 = *(V*)(a + stride + c), a2 = *(V*)(a + 2 * stride + c), a3 = *(V*)(a + 3 * stride + c);
        V f = a0 + u * (a1 + u * (a2 + u * a3));
        V df = a1 + u * (T(2) * a2 + T(3) * u * a3);
        V grad[M];
        for (int k = 0; k < M; ++k) grad[k] = *(V*)(g + k * row + c);
        for (int n = 0; n < N; ++n) {
            V x = *(V*)(h + n * channels + c), t = {}, fx = f * x;
            for (int k = 0; k < M; ++k) {
                t += m[n * M + k] * grad[k];
                sums[n * M + k] += fx * grad[k];
            }
            *(V*)(gh + n * channels + c) += f * t;
            slope += df * x * t;
        }
    }
    for (int k = 0; k < N * M; ++k) gm[k] = Block<T>::sum(sums[k]);
    return Block<T>::sum(slope);
}

template <typename T>
using Add = void (*)(index_t, const T*, index_t, T, const T*, const T*, T*, index_t);
template <typename T>
using Pull = T (*)(index_t, const T*, index_t, T, const T*, const T*, const T*, index_t, T*, T*);

// 2l+1 = 1, 3, 5, 7 on both sides.
#define ROW(f, T, n) {f<T, n, 1>, f<T, n, 3>, f<T, n, 5>, f<T, n, 7>}
#define GRID(f, T) {ROW(f, T, 1), ROW(f, T, 3), ROW(f, T, 5), ROW(f, T, 7)}

template <typename T>
void forward(const Problem<T>& q, const index_t* begins, const index_t* neighbors, const index_t* made, index_t threads) {
    static const Add<T> adds[4][4] = GRID(add, T);
    index_t stride = q.paths * q.channels;
#pragma omp parallel for num_threads(threads) schedule(dynamic, 4)
    for (index_t i = 0; i < q.atoms; ++i) {
        for (index_t p = begins[i]; p < begins[i + 1]; ++p) {
            if (!(q.distances[p] < q.stop)) continue;
            Knot<T> knot(q.distances[p], q.start, q.inverse_step, q.intervals);
            const T* a = q.coefficients(p, knot.interval);
            const T* h = q.features_in + neighbors[p] * q.features * q.channels;
            for (index_t k = 0; k < q.paths; ++k) {
                Path path = q.path(k);
                index_t row = q.size(path.output), n = q.sizes_in[k], m = q.sizes_out[k];
                T* out = (T*)made[path.output] + i * m * row + path.slot * q.channels;
                adds[n / 2][m / 2](q.channels, a + k * q.channels, stride, knot.u, q.coupled + p * q.couplings + path.coupling,
                                   h + path.source * q.channels, out, row);
            }
        }
    }
}

template <typename T>
void backward(const Problem<T>& q, const index_t* begins, const index_t* order, const index_t* centers,
              const index_t* gradients, T* gh, T* gr, T* gm, index_t threads) {
    static const Pull<T> pulls[4][4] = GRID(pull, T);
    index_t stride = q.paths * q.channels;
#pragma omp parallel for num_threads(threads) schedule(dynamic, 4)
    for (index_t j = 0; j < q.atoms; ++j) {
        const T* h = q.features_in + j * q.features * q.channels;
        T* out = gh + j * q.features * q.channels;
        for (index_t o = begins[j]; o < begins[j + 1]; ++o) {
            index_t p = order[o];
            if (!(q.distances[p] < q.stop)) continue;
            Knot<T> knot(q.distances[p], q.start, q.inverse_step, q.intervals);
            const T* a = q.coefficients(p, knot.interval);
            T slope = 0;
            for (index_t k = 0; k < q.paths; ++k) {
                Path path = q.path(k);
                index_t row = q.size(path.output), n = q.sizes_in[k], m = q.sizes_out[k];
                const T* g = (const T*)gradients[path.output] + centers[p] * m * row + path.slot * q.channels;
                index_t place = p * q.couplings + path.coupling;
                slope += pulls[n / 2][m / 2](q.channels, a + k * q.channels, stride, knot.u, q.coupled + place,
                                             h + path.source * q.channels, g, row, out + path.source * q.channels, gm + place);
            }
            gr[p] = slope * knot.slope;
        }
    }
}

// `numbers`: atoms, channels, features, paths, couplings, intervals. `tables`: sizes_in, sizes_out, plan, columns.
template <typename T>
Problem<T> problem(const index_t* numbers, const index_t* tables, const double* range, const T* r, const T* coupled,
                   const T* h, const T* table, const index_t* kinds) {
    Problem<T> q;
    q.atoms = numbers[0], q.channels = numbers[1], q.features = numbers[2], q.paths = numbers[3];
    q.couplings = numbers[4], q.intervals = numbers[5];
    q.sizes_in = tables, q.sizes_out = tables + q.paths, q.plan = tables + 2 * q.paths, q.columns = tables + 6 * q.paths;
    q.start = range[0], q.stop = range[1], q.inverse_step = range[2];
    q.distances = r, q.coupled = coupled, q.features_in = h, q.table = table, q.kinds = kinds;
    return q;
}

#define COMMON(T) \
    const index_t *numbers, const index_t *tables, const double *range, const T *r, const T *coupled, const T *h, \
        const T *table, const index_t *kinds
#define PROBLEM(T) problem<T>(numbers, tables, range, r, coupled, h, table, kinds)
#define ENTRIES(T, suffix)                                                                                       \
    extern "C" void forward_##suffix(COMMON(T), const index_t* begins, const index_t* neighbors,                 \
                                     const index_t* made, index_t threads) {                                     \
        forward<T>(PROBLEM(T), begins, neighbors, made, threads);                                                \
    }                                                                                                            \
    extern "C" void backward_##suffix(COMMON(T), const index_t* begins, const index_t* order,                    \
                                      const index_t* centers, const index_t* gradients, T* gh, T* gr, T* gm,     \
                                      index_t threads) {                                                         \
        backward<T>(PROBLEM(T), begins, order, centers, gradients, gh, gr, gm, threads);                         \
    }
ENTRIES(float, f32)
ENTRIES(double, f64)
