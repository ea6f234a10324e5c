// Coefficients of neighbor densities c[channel][n][lm] = sum over pairs of w f_nl(r) Y_lm, their gradient, and the
// slopes of power spectra along pair vectors (density_power.py).
#include "common.hpp"
#include <cstring>

// What is the same for all calls: sizes, the table of f_nl and the factors of the harmonics.
template <typename T>
struct Setup {
    index_t n_max, l_max, channels, tables, intervals;
    double inverse_step;
    const T *table, *norms;
    index_t degrees() const { return l_max + 1; }
    index_t harmonics() const { return degrees() * degrees(); }
    index_t radial() const { return n_max * degrees(); }
};

// Room for what is computed once a pair.
template <typename T>
struct Pair {
    std::vector<T> f, slope, y, dy, legendre;
    T u[3], r;
    explicit Pair(const Setup<T>& s)
        : f(s.radial()), slope(s.radial()), y(s.harmonics()), dy(3 * s.harmonics()),
          legendre((s.l_max + 2) * (s.l_max + 3) / 2 + s.l_max + 3) {}

    // f_nl(r) of a channel and its slope: quintics in u = 0..1.
    void radial(const Setup<T>& s, index_t channel) {
        double t = (double)r * s.inverse_step;
        index_t interval = std::max<index_t>(0, std::min<index_t>((index_t)t, s.intervals - 1));
        index_t row = s.tables > 1 ? channel * s.intervals + interval : interval;
        T x = (T)(t - (double)interval), scale = (T)s.inverse_step;
        index_t count = s.radial();
        const T* __restrict a = s.table + row * 6 * count;
        T *__restrict value = f.data(), *__restrict along = slope.data();
#pragma omp simd
        for (index_t k = 0; k < count; ++k) {
            T b = a[count + k], c = a[2 * count + k], d = a[3 * count + k], e = a[4 * count + k], g = a[5 * count + k];
            value[k] = a[k] + x * (b + x * (c + x * (d + x * (e + x * g))));
            along[k] = scale * (b + x * (2 * c + x * (3 * d + x * (4 * e + x * 5 * g))));
        }
    }

    // Y_lm of the direction and, if wanted, r times its gradient [3][lm]. With A + iB = (x + iy)^m and Q_lm the m-th
    // derivative of the Legendre polynomial P_l, Y is a factor times Q_lm A for m >= 0 and Q_l|m| B for m < 0.
    void angular(const Setup<T>& s, bool slopes) {
        index_t top = s.l_max + 1, size = s.harmonics();
        T x = u[0], y_ = u[1], z = u[2];
        auto place = [](index_t l, index_t m) { return l * (l + 1) / 2 + m; };
        T* q = legendre.data();
        q[0] = 1;
        for (index_t m = 0; m <= top; ++m) {
            if (m > 0) q[place(m, m)] = q[place(m - 1, m - 1)] * (T)(2 * m - 1);
            if (m < top) q[place(m + 1, m)] = z * (T)(2 * m + 1) * q[place(m, m)];
            for (index_t l = m + 2; l <= top; ++l)
                q[place(l, m)] = (z * (T)(2 * l - 1) * q[place(l - 1, m)] - (T)(l + m - 1) * q[place(l - 2, m)]) /
                                 (T)(l - m);
        }
        T a = 1, b = 0, a_before = 0, b_before = 0;
        T *g0 = dy.data(), *g1 = g0 + size, *g2 = g1 + size;
        for (index_t m = 0; m < top; ++m) {
            for (index_t l = m; l < top; ++l) {
                T own = q[place(l, m)], next = l > m ? q[place(l, m + 1)] : T(0);
                T norm = s.norms[place(l, m)];
                index_t plus = l * l + l + m, minus = l * l + l - m;
                y[plus] = norm * own * a;
                if (m > 0) y[minus] = norm * own * b;
                if (!slopes) continue;
                T count = norm * own * (T)m;
                g0[plus] = count * a_before;
                g1[plus] = -count * b_before;
                g2[plus] = norm * next * a;
                if (m > 0) {
                    g0[minus] = count * b_before;
                    g1[minus] = count * a_before;
                    g2[minus] = norm * next * b;
                }
            }
            a_before = a;
            b_before = b;
            a = x * a_before - y_ * b_before;
            b = x * b_before + y_ * a_before;
        }
        if (!slopes) return;
#pragma omp simd
        for (index_t k = 0; k < size; ++k) {  // only what turns the direction
            T along = x * g0[k] + y_ * g1[k] + z * g2[k];
            g0[k] -= x * along;
            g1[k] -= y_ * along;
            g2[k] -= z * along;
        }
    }

    void measure(const Setup<T>& s, const T* vector, index_t channel, bool slopes) {
        r = std::sqrt(vector[0] * vector[0] + vector[1] * vector[1] + vector[2] * vector[2]);
        for (int d = 0; d < 3; ++d) u[d] = vector[d] / r;
        radial(s, channel);
        angular(s, slopes);
    }
};

template <typename T>
void forward(index_t atoms, index_t n_max, index_t l_max, index_t channels, index_t tables, index_t intervals,
             double inverse_step, const T* table, const T* norms, const index_t* begins, const T* vectors, const T* weights,
             const index_t* channel, T* out, index_t threads) {
    Setup<T> s{n_max, l_max, channels, tables, intervals, inverse_step, table, norms};
    index_t size = s.harmonics(), row = channels * n_max * size;
#pragma omp parallel num_threads(threads)
    {
        Pair<T> pair(s);
        std::vector<T> sums(row);  // [channel][lm][n]
#pragma omp for schedule(dynamic, 8)
        for (index_t i = 0; i < atoms; ++i) {
            std::fill(sums.begin(), sums.end(), T(0));
            for (index_t p = begins[i]; p < begins[i + 1]; ++p) {
                if (weights[p] == T(0)) continue;
                pair.measure(s, vectors + 3 * p, channel[p], false);
                T* own = sums.data() + channel[p] * n_max * size;
                for (index_t l = 0; l <= l_max; ++l) {
                    const T* __restrict f = &pair.f[l * n_max];
                    for (index_t k = l * l; k < (l + 1) * (l + 1); ++k) {
                        T y = weights[p] * pair.y[k];
                        T* __restrict to = own + k * n_max;
#pragma omp simd
                        for (index_t n = 0; n < n_max; ++n) to[n] += y * f[n];
                    }
                }
            }
            T* c = out + i * row;
            for (index_t a = 0; a < channels; ++a)
                for (index_t n = 0; n < n_max; ++n)
                    for (index_t k = 0; k < size; ++k)
                        c[(a * n_max + n) * size + k] = sums[(a * size + k) * n_max + n];
        }
    }
}

template <typename T>
void backward(index_t atoms, index_t n_max, index_t l_max, index_t channels, index_t tables, index_t intervals,
              double inverse_step, const T* table, const T* norms, const index_t* begins, const T* vectors, const T* weights,
              const index_t* channel, const T* gradient, T* by_vector, T* by_weight, index_t threads) {
    Setup<T> s{n_max, l_max, channels, tables, intervals, inverse_step, table, norms};
    index_t size = s.harmonics(), row = channels * n_max * size, degrees = s.degrees();
#pragma omp parallel num_threads(threads)
    {
        Pair<T> pair(s);
        std::vector<T> turned(row);  // the gradient as [channel][lm][n]
#pragma omp for schedule(dynamic, 8)
        for (index_t i = 0; i < atoms; ++i) {
            const T* given = gradient + i * row;
            for (index_t a = 0; a < channels; ++a)
                for (index_t n = 0; n < n_max; ++n)
                    for (index_t k = 0; k < size; ++k)
                        turned[(a * size + k) * n_max + n] = given[(a * n_max + n) * size + k];
            for (index_t p = begins[i]; p < begins[i + 1]; ++p) {
                T w = weights[p], along = 0, value = 0, turn[3] = {0, 0, 0};
                pair.measure(s, vectors + 3 * p, channel[p], true);
                const T* own = turned.data() + channel[p] * n_max * size;
                for (index_t l = 0; l < degrees; ++l) {
                    const T *__restrict f = &pair.f[l * n_max], *__restrict df = &pair.slope[l * n_max];
                    for (index_t k = l * l; k < (l + 1) * (l + 1); ++k) {
                        const T* __restrict g = own + k * n_max;
                        T one = 0, two = 0;
#pragma omp simd reduction(+ : one, two)
                        for (index_t n = 0; n < n_max; ++n) {
                            one += g[n] * f[n];
                            two += g[n] * df[n];
                        }
                        value += one * pair.y[k];
                        along += two * pair.y[k];
                        for (int d = 0; d < 3; ++d) turn[d] += one * pair.dy[d * size + k];
                    }
                }
                for (int d = 0; d < 3; ++d) by_vector[3 * p + d] = w * (along * pair.u[d] + turn[d] / pair.r);
                by_weight[p] = value;
            }
        }
    }
}

// Slopes of features along pair vectors [pairs][width][3]. Feature k is a factor times the sum over m of
// c[first] c[second]; a pair moves the radial channels of its own element's channel and, if there is one, of the sum of
// all. lists: for each channel of a neighbor, the features it moves: feature, and where among the products of a pair's
// slopes with all coefficients the two sides' lie, -1 where that side does not move.
template <typename T>
void jacobian(index_t atoms, index_t n_max, index_t l_max, index_t channels, index_t tables, index_t intervals,
              double inverse_step, const T* table, const T* norms, const index_t* begins, const T* vectors, const T* weights,
              const T* weight_slopes, const index_t* channel, const T* shares, index_t rows, const T* c,
              const index_t* list_begins, const index_t* lists, const T* factors, index_t features, index_t width,
              index_t normalized, const T* values, const T* inverse_lengths, T* out, index_t threads) {
    Setup<T> s{n_max, l_max, channels, tables, intervals, inverse_step, table, norms};
    index_t size = s.harmonics(), degrees = s.degrees();
#pragma omp parallel num_threads(threads)
    {
        Pair<T> pair(s);
        std::vector<T> turned(size * rows), moved(3 * n_max * size), products(degrees * n_max * rows * 3);
        T* planes = products.data();
#pragma omp for schedule(dynamic, 4)
        for (index_t i = 0; i < atoms; ++i) {
            for (index_t k = 0; k < rows; ++k)
                for (index_t m = 0; m < size; ++m) turned[m * rows + k] = c[(i * rows + k) * size + m];
            const T* q = values + i * width;
            for (index_t p = begins[i]; p < begins[i + 1]; ++p) {
                T* row = out + p * width * 3;
                std::fill(row, row + width * 3, T(0));
                if (shares[p] == T(0)) continue;
                pair.measure(s, vectors + 3 * p, channel[p], true);
                T w = weights[p] * shares[p], dw = weight_slopes[p] * shares[p], inverse = 1 / pair.r;
                for (index_t n = 0; n < n_max; ++n)
                    for (index_t l = 0; l < degrees; ++l) {
                        T f = pair.f[l * n_max + n], along = w * pair.slope[l * n_max + n] + dw * f;
                        T turn = w * f * inverse;
                        for (int d = 0; d < 3; ++d)
                            for (index_t k = l * l; k < (l + 1) * (l + 1); ++k)
                                moved[(n * 3 + d) * size + k] =
                                    along * pair.u[d] * pair.y[k] + turn * pair.dy[d * size + k];
                    }
                for (index_t l = 0; l < degrees; ++l)
                    for (index_t n = 0; n < n_max; ++n) {
                        T* __restrict plane = planes + (l * n_max + n) * rows * 3;
                        std::fill(plane, plane + 3 * rows, T(0));
                        const T *m0 = &moved[n * 3 * size], *m1 = m0 + size, *m2 = m1 + size;
                        for (index_t k = l * l; k < (l + 1) * (l + 1); ++k) {
                            const T* __restrict other = &turned[k * rows];
                            T x = m0[k], y = m1[k], z = m2[k];
#pragma omp simd
                            for (index_t b = 0; b < rows; ++b) {
                                plane[b] += x * other[b];
                                plane[rows + b] += y * other[b];
                                plane[2 * rows + b] += z * other[b];
                            }
                        }
                    }
                index_t own = channel[p];
                for (index_t e = list_begins[own]; e < list_begins[own + 1]; ++e) {
                    const index_t* entry = lists + 3 * e;
                    T* target = row + 3 * entry[0];
                    T factor = factors[entry[0]];
                    T x = 0, y = 0, z = 0;
                    if (entry[1] >= 0) {
                        const T* at = planes + entry[1];
                        x = at[0], y = at[rows], z = at[2 * rows];
                    }
                    if (entry[2] >= 0) {
                        const T* at = planes + entry[2];
                        x += at[0], y += at[rows], z += at[2 * rows];
                    }
                    target[0] = factor * x, target[1] = factor * y, target[2] = factor * z;
                }
                if (!normalized) continue;
                T x = 0, y = 0, z = 0, length = inverse_lengths[i];
                for (index_t k = 0; k < features; ++k) {
                    x += q[k] * row[3 * k], y += q[k] * row[3 * k + 1], z += q[k] * row[3 * k + 2];
                }
                for (index_t k = 0; k < features; ++k) {
                    row[3 * k] = length * (row[3 * k] - q[k] * x);
                    row[3 * k + 1] = length * (row[3 * k + 1] - q[k] * y);
                    row[3 * k + 2] = length * (row[3 * k + 2] - q[k] * z);
                }
            }
        }
    }
}

#define SETUP(T)                                                                                            \
    index_t atoms, index_t n_max, index_t l_max, index_t channels, index_t tables, index_t intervals, double step, \
        const T *table, const T *norms, const index_t *begins, const T *vectors, const T *weights
#define GIVEN atoms, n_max, l_max, channels, tables, intervals, step, table, norms, begins, vectors, weights
#define FORWARD(T) (SETUP(T), const index_t* channel, T* out, index_t threads)
#define BACKWARD(T) (SETUP(T), const index_t* channel, const T* g, T* by_vector, T* by_weight, index_t threads)
#define JACOBIAN(T)                                                                                                   \
    (SETUP(T), const T* slopes, const index_t* channel, const T* shares, index_t rows, const T* c,                    \
     const index_t* list_begins, const index_t* lists, const T* factors, index_t features, index_t width,             \
     index_t normalized, const T* values, const T* lengths, T* out, index_t threads)

EXPORT(forward, FORWARD, (GIVEN, channel, out, threads))
EXPORT(backward, BACKWARD, (GIVEN, channel, g, by_vector, by_weight, threads))
EXPORT(jacobian, JACOBIAN,
       (GIVEN, slopes, channel, shares, rows, c, list_begins, lists, factors, features, width, normalized, values,
        lengths, out, threads))
