// s_i + sum_j phi_1 W_1 and v_i + sum_j (phi_2 W_2 d_ij + phi_3 W_3 v_j) over pairs p = (i, j), channel by channel, with
// phi of atom j, W = f_p R(r_p) and R from a table whose channels are the three parts side by side (vector_message.py).
#include "common.hpp"

template <typename T>
struct Problem {
    index_t atoms, channels;
    const T *distances, *factors, *directions;  // of pairs
    const T *phi, *vectors;                     // of atoms; no vectors: all are zero
    const T* table;
    index_t intervals;
    double start, inverse_step;
    Knot<T> knot(index_t pair) const { return Knot<T>(distances[pair], start, inverse_step, intervals); }
    const T* coefficients(index_t interval) const { return table + interval * 12 * channels; }
};

// One part of the table in one interval: four rows of coefficients, 3 * channels apart.
template <typename T>
struct Part {
    const T *__restrict a, *__restrict b, *__restrict c, *__restrict d;
    T u;
    Part(const T* begin, index_t stride, T u) : a(begin), b(a + stride), c(b + stride), d(c + stride), u(u) {}
    T value(index_t k) const { return a[k] + u * (b[k] + u * (c[k] + u * d[k])); }
    T slope(index_t k) const { return b[k] + u * (2 * c[k] + u * 3 * d[k]); }
};

template <typename T, bool first>
void forward(const Problem<T>& q, const index_t* begins, const index_t* neighbors, const T* s, T* made_s, T* made_v,
             index_t threads) {
    index_t n = q.channels;
#pragma omp parallel for num_threads(threads) schedule(dynamic, 16)
    for (index_t i = 0; i < q.atoms; ++i) {
        T* __restrict out = made_s + i * n;
        T *__restrict x = made_v + i * 3 * n, *__restrict y = x + n, *__restrict z = y + n;
        std::copy(s + i * n, s + (i + 1) * n, out);
        if (first) std::fill(x, x + 3 * n, T(0));
        else std::copy(q.vectors + i * 3 * n, q.vectors + (i + 1) * 3 * n, x);
        for (index_t p = begins[i]; p < begins[i + 1]; ++p) {
            T f = q.factors[p];
            if (f == T(0)) continue;
            Knot<T> knot = q.knot(p);
            const T* a = q.coefficients(knot.interval);
            Part<T> one(a, 3 * n, knot.u), two(a + n, 3 * n, knot.u), three(a + 2 * n, 3 * n, knot.u);
            const T *__restrict h = q.phi + neighbors[p] * 3 * n, *__restrict v = q.vectors + (first ? 0 : neighbors[p] * 3 * n);
            T dx = q.directions[3 * p], dy = q.directions[3 * p + 1], dz = q.directions[3 * p + 2];
#pragma omp simd
            for (index_t c = 0; c < n; ++c) {
                out[c] += f * one.value(c) * h[c];
                T along = f * two.value(c) * h[n + c];
                if (first) {
                    x[c] += along * dx, y[c] += along * dy, z[c] += along * dz;
                } else {
                    T kept = f * three.value(c) * h[2 * n + c];
                    x[c] += along * dx + kept * v[c];
                    y[c] += along * dy + kept * v[n + c];
                    z[c] += along * dz + kept * v[2 * n + c];
                }
            }
        }
    }
}

// Runs over the pairs of each neighbor j, so that no two threads write to one place: `order` lists the pairs sorted by
// neighbor, `begins` where each neighbor's start.
template <typename T, bool first>
void backward(const Problem<T>& q, const index_t* begins, const index_t* order, const index_t* centers, const T* given_s,
              const T* given_v, T* made_phi, T* made_v, T* made_r, T* made_f, T* made_d, index_t threads) {
    index_t n = q.channels;
#pragma omp parallel for num_threads(threads) schedule(dynamic, 16)
    for (index_t j = 0; j < q.atoms; ++j) {
        const T *__restrict h = q.phi + j * 3 * n, *__restrict v = q.vectors + (first ? 0 : j * 3 * n);
        T *__restrict gh = made_phi + j * 3 * n, *__restrict gv = made_v + (first ? 0 : j * 3 * n);
        std::fill(gh, gh + 3 * n, T(0));
        if (!first) std::copy(given_v + j * 3 * n, given_v + (j + 1) * 3 * n, gv);
        for (index_t o = begins[j]; o < begins[j + 1]; ++o) {
            index_t p = order[o];
            Knot<T> knot = q.knot(p);
            const T* a = q.coefficients(knot.interval);
            Part<T> one(a, 3 * n, knot.u), two(a + n, 3 * n, knot.u), three(a + 2 * n, 3 * n, knot.u);
            const T *__restrict g = given_s + centers[p] * n, *__restrict gx = given_v + centers[p] * 3 * n;
            const T *__restrict gy = gx + n, *__restrict gz = gy + n;
            T dx = q.directions[3 * p], dy = q.directions[3 * p + 1], dz = q.directions[3 * p + 2], f = q.factors[p];
            T slope = 0, value = 0, sx = 0, sy = 0, sz = 0;
#pragma omp simd reduction(+ : slope, value, sx, sy, sz)
            for (index_t c = 0; c < n; ++c) {
                T along = dx * gx[c] + dy * gy[c] + dz * gz[c], w = one.value(c), w2 = two.value(c);
                gh[c] += f * w * g[c];
                gh[n + c] += f * w2 * along;
                value += w * h[c] * g[c];
                slope += one.slope(c) * h[c] * g[c] + two.slope(c) * h[n + c] * along;
                T pushed = w2 * h[n + c];
                sx += pushed * gx[c], sy += pushed * gy[c], sz += pushed * gz[c];
                if (!first) {
                    T kept = v[c] * gx[c] + v[n + c] * gy[c] + v[2 * n + c] * gz[c], w3 = three.value(c);
                    gh[2 * n + c] += f * w3 * kept;
                    T scale = w3 * h[2 * n + c];
                    value += scale * kept;
                    slope += three.slope(c) * h[2 * n + c] * kept;
                    scale *= f;
                    gv[c] += scale * gx[c], gv[n + c] += scale * gy[c], gv[2 * n + c] += scale * gz[c];
                }
            }
            made_r[p] = f * slope * knot.slope;
            made_f[p] = value + dx * sx + dy * sy + dz * sz;
            made_d[3 * p] = f * sx, made_d[3 * p + 1] = f * sy, made_d[3 * p + 2] = f * sz;
        }
    }
}

#define COMMON(T)                                                                                                   \
    index_t atoms, index_t channels, index_t first, const T *r, const T *f, const T *d, const T *phi, const T *v, \
        const T *table, index_t intervals, double start, double step
#define PROBLEM(T) Problem<T> q{atoms, channels, r, f, d, phi, v, table, intervals, start, step};
#define ENTRIES(T, suffix)                                                                                          \
    extern "C" void forward_##suffix(COMMON(T), const index_t* begins, const index_t* neighbors, const T* s, T* ms, \
                                     T* mv, index_t threads) {                                                      \
        PROBLEM(T)                                                                                                  \
        (first ? forward<T, true> : forward<T, false>)(q, begins, neighbors, s, ms, mv, threads);                   \
    }                                                                                                               \
    extern "C" void backward_##suffix(COMMON(T), const index_t* begins, const index_t* order,                       \
                                      const index_t* centers, const T* gs, const T* gv, T* mphi, T* mv, T* mr,      \
                                      T* mf, T* md, index_t threads) {                                              \
        PROBLEM(T)                                                                                                  \
        (first ? backward<T, true> : backward<T, false>)(q, begins, order, centers, gs, gv, mphi, mv, mr, mf, md,   \
                                                         threads);                                                  \
    }
ENTRIES(float, f32)
ENTRIES(double, f64)
