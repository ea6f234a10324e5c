// The update block of PaiNN between its matrix products (vector_update.py), atom by atom and channel by channel.
// `mixed` has for each atom the three components of V v and U v side by side: rows of 2 * channels.
#include "common.hpp"

// inputs: s and |V v|, side by side; dots: <U v, V v>.
template <typename T>
void measure(index_t atoms, index_t n, double epsilon, const T* s, const T* mixed, T* inputs, T* dots,
             index_t threads) {
#pragma omp parallel for num_threads(threads)
    for (index_t i = 0; i < atoms; ++i) {
        const T *x = mixed + i * 6 * n, *y = x + 2 * n, *z = y + 2 * n;
        T *lengths = inputs + (2 * i + 1) * n, *dot = dots + i * n, small = (T)epsilon;
        std::copy(s + i * n, s + (i + 1) * n, inputs + 2 * i * n);
#pragma omp simd
        for (index_t c = 0; c < n; ++c) {
            lengths[c] = std::sqrt(x[c] * x[c] + y[c] * y[c] + z[c] * z[c] + small);
            dot[c] = x[c] * x[n + c] + y[c] * y[n + c] + z[c] * z[n + c];
        }
    }
}

// s + a_ss + a_sv <U v, V v> and v + a_vv U v with a_ss, a_vv, a_sv side by side in `a`.
template <typename T>
void renew(index_t atoms, index_t n, const T* s, const T* v, const T* mixed, const T* dots, const T* a, T* made_s,
           T* made_v, index_t threads) {
#pragma omp parallel for num_threads(threads)
    for (index_t i = 0; i < atoms; ++i) {
        const T *ss = a + i * 3 * n, *vv = ss + n, *sv = vv + n;
#pragma omp simd
        for (index_t c = 0; c < n; ++c) made_s[i * n + c] = s[i * n + c] + ss[c] + sv[c] * dots[i * n + c];
        for (index_t k = 3 * i; k < 3 * i + 3; ++k)
#pragma omp simd
            for (index_t c = 0; c < n; ++c) made_v[k * n + c] = v[k * n + c] + vv[c] * mixed[(2 * k + 1) * n + c];
    }
}

// Gradient of a from those of s and v.
template <typename T>
void pull_renew(index_t atoms, index_t n, const T* mixed, const T* dots, const T* gs, const T* gv, T* ga,
                index_t threads) {
#pragma omp parallel for num_threads(threads)
    for (index_t i = 0; i < atoms; ++i) {
        const T *x = mixed + (6 * i + 1) * n, *y = x + 2 * n, *z = y + 2 * n, *g = gs + i * n, *gx = gv + 3 * i * n;
        T* to = ga + i * 3 * n;
#pragma omp simd
        for (index_t c = 0; c < n; ++c) {
            to[c] = g[c];
            to[n + c] = gx[c] * x[c] + gx[n + c] * y[c] + gx[2 * n + c] * z[c];
            to[2 * n + c] = g[c] * dots[i * n + c];
        }
    }
}

// Gradients of s and `mixed` from those of `inputs` and, through the results, of s and v.
template <typename T>
void pull_measure(index_t atoms, index_t n, const T* mixed, const T* inputs, const T* a, const T* gs, const T* gv,
                  const T* gi, T* made_s, T* made_mixed, index_t threads) {
#pragma omp parallel for num_threads(threads)
    for (index_t i = 0; i < atoms; ++i) {
        const T *lengths = inputs + (2 * i + 1) * n, *gl = gi + (2 * i + 1) * n, *g = gs + i * n;
        const T *a_vv = a + (3 * i + 1) * n, *a_sv = a_vv + n;
#pragma omp simd
        for (index_t c = 0; c < n; ++c) made_s[i * n + c] = g[c] + gi[2 * i * n + c];
        for (index_t k = 3 * i; k < 3 * i + 3; ++k) {
            const T *vv = mixed + 2 * k * n, *uv = vv + n;
            T *gvv = made_mixed + 2 * k * n, *guv = gvv + n;
#pragma omp simd
            for (index_t c = 0; c < n; ++c) {
                T dot = g[c] * a_sv[c];
                gvv[c] = gl[c] / lengths[c] * vv[c] + dot * uv[c];
                guv[c] = dot * vv[c] + gv[k * n + c] * a_vv[c];
            }
        }
    }
}

#define MEASURE(T)                                                                                                 \
    (index_t atoms, index_t n, double epsilon, const T* s, const T* mixed, T* inputs, T* dots, index_t threads)
EXPORT(measure, MEASURE, (atoms, n, epsilon, s, mixed, inputs, dots, threads))
#define RENEW(T)                                                                                              \
    (index_t atoms, index_t n, const T* s, const T* v, const T* mixed, const T* dots, const T* a, T* made_s, \
     T* made_v, index_t threads)
EXPORT(renew, RENEW, (atoms, n, s, v, mixed, dots, a, made_s, made_v, threads))
#define PULL_RENEW(T) \
    (index_t atoms, index_t n, const T* mixed, const T* dots, const T* gs, const T* gv, T* ga, index_t threads)
EXPORT(pull_renew, PULL_RENEW, (atoms, n, mixed, dots, gs, gv, ga, threads))
#define PULL_MEASURE(T)                                                                                             \
    (index_t atoms, index_t n, const T* mixed, const T* inputs, const T* a, const T* gs, const T* gv, const T* gi, \
     T* made_s, T* made_mixed, index_t threads)
EXPORT(pull_measure, PULL_MEASURE, (atoms, n, mixed, inputs, a, gs, gv, gi, made_s, made_mixed, threads))
