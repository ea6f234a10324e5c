// Contractions of moment tensors: energies linear in them, slopes and their derivatives, and the Jacobian
// (moment_tensors.py).
//
// Each center writes to its own pairs. What training needs is the derivative of the reverse pass.
#include <limits>

#include "moment_center.hpp"

template <typename T>
bool unknown(const Problem<T>& q) {
    return std::any_of(q.kind, q.kind + q.atoms, [&](index_t e) { return e < 0 || e >= q.size.kinds; });
}

template <typename T>
void spoil(T* values, index_t count) {
    std::fill(values, values + count, std::numeric_limits<T>::quiet_NaN());
}

// Energies of atoms, and their slopes by pair vectors.
template <typename T>
void energies(const Problem<T>& q, T* values, T* slopes, index_t threads) {
    const Sizes& size = q.size;
    if (unknown(q)) return spoil(values, q.atoms), spoil(slopes, 3 * q.begins[q.atoms]);
#pragma omp parallel num_threads(threads) if (q.atoms > 1)
    {
        Center<T, Plain<T>> center(q);
#pragma omp for schedule(dynamic, 8)
        for (index_t i = 0; i < q.atoms; ++i) {
            const T* weights = q.weights + q.kind[i] * size.scalars;
            center.gather(i);
            center.forward();
            T total = 0;
            for (index_t s = 0; s < size.scalars; ++s) total += weights[s] * center.number[q.scalars[s]];
            values[i] = total;
            center.backward(weights);
            center.slopes(i, slopes);
        }
    }
}

// Contractions [atoms, scalars], and all numbers [atoms, numbers] for `backward`.
template <typename T>
void forward(const Problem<T>& q, T* values, T* numbers, index_t threads) {
    const Sizes& size = q.size;
    if (unknown(q)) return spoil(values, q.atoms * size.scalars);
#pragma omp parallel num_threads(threads) if (q.atoms > 1)
    {
        Center<T, Plain<T>> center(q);
#pragma omp for schedule(dynamic, 8)
        for (index_t i = 0; i < q.atoms; ++i) {
            center.gather(i);
            center.forward();
            std::copy_n(center.number, size.numbers, numbers + i * size.numbers);
            for (index_t s = 0; s < size.scalars; ++s) values[i * size.scalars + s] = center.number[q.scalars[s]];
        }
    }
}

// Slopes by pair vectors of what has these derivatives by the contractions, both as `forward` has them.
template <typename T>
void backward(const Problem<T>& q, const T* numbers, const T* given, T* slopes, index_t threads) {
    const Sizes& size = q.size;
    if (unknown(q)) return spoil(slopes, 3 * q.begins[q.atoms]);
#pragma omp parallel num_threads(threads) if (q.atoms > 1)
    {
        Center<T, Plain<T>> center(q);
#pragma omp for schedule(dynamic, 8)
        for (index_t i = 0; i < q.atoms; ++i) {
            center.gather(i);
            std::copy_n(numbers + i * size.numbers, size.numbers, center.number);
            center.backward(given + i * size.scalars);
            center.slopes(i, slopes);
        }
    }
}

// Derivatives of energies and of their slopes with respect to the coefficients of the center's element: [atoms, own]
// and [pairs, own, 3] with own = kinds * radial * basis.
template <typename T>
void tangents(const Problem<T>& q, T* values, T* slopes, index_t threads) {
    const Sizes& size = q.size;
    constexpr index_t lanes = Lanes<T>::count;
    const index_t own = size.kinds * size.radial * size.basis;
#pragma omp parallel num_threads(threads) if (q.atoms > 1)
    {
        Center<T, Along<T>> center(q);
#pragma omp for schedule(dynamic, 8)
        for (index_t i = 0; i < q.atoms; ++i) {
            std::fill(slopes + 3 * own * q.begins[i], slopes + 3 * own * q.begins[i + 1], T(0));
            const T* weights = q.weights + q.kind[i] * size.scalars;
            center.gather(i);
            for (index_t c = 0; c < own; ++c) {
                const index_t a = c / (size.radial * size.basis), n = c / size.basis % size.radial, b = c % size.basis;
                const auto turn = [&](bool on) {
                    for (index_t k = 0; k < center.blocks; ++k) {
                        if (center.kind[k] != a) continue;
                        center.f[n * center.width + k].d = on ? center.phi[b * center.width + k] : Vec<T>{};
                        center.rise[n * center.width + k].d = on ? center.climb[b * center.width + k] : Vec<T>{};
                    }
                };
                turn(true);
                center.forward();
                center.backward(weights);
                T total = 0;
                for (index_t s = 0; s < size.scalars; ++s) total += weights[s] * center.number[q.scalars[s]].d;
                values[i * own + c] = total;
                for (index_t k = 0; k < center.blocks; ++k) {
                    Dual<Vec<T>> slope[3];
                    center.pull(k, slope);
                    for (index_t l = 0; l < lanes; ++l) {
                        const index_t p = center.pair[k * lanes + l];
                        for (index_t x = 0; x < 3 && p >= 0; ++x) slopes[3 * (p * own + c) + x] = slope[x].d[l];
                    }
                }
                turn(false);
            }
        }
    }
}

// Derivatives of a monomial with respect to the three components, through the chain of its parents.
template <typename T>
void derivative(const Center<T, Plain<T>>& center, index_t m, index_t k, Vec<T>* turn) {
    Vec<T> rest = spread<T>(1);
    while (m) {
        const Parent& p = center.q.parents[m];
        turn[p.axis] += rest * center.shape[p.monomial * center.width + k];
        rest *= center.u[p.axis * center.width + k];
        m = p.monomial;
    }
}

// Contractions [atoms, scalars] and their slopes by pair vectors [pairs, scalars, 3].
template <typename T>
void jacobian(const Problem<T>& q, T* values, T* slopes, index_t threads) {
    const Sizes& size = q.size;
    constexpr index_t lanes = Lanes<T>::count;
    // the products and basic numbers that each contraction is made of
    std::vector<std::vector<int32_t>> steps(size.scalars), roots(size.scalars);
    for (index_t s = 0; s < size.scalars; ++s) {
        std::vector<char> used(size.numbers, 0);
        used[q.scalars[s]] = 1;
        for (index_t n = size.products - 1; n >= 0; --n) {
            const Factor& p = q.products[n];
            if (used[p.made]) used[p.a] = used[p.b] = 1, steps[s].push_back((int32_t)n);
        }
        for (index_t b = 0; b < size.basic; ++b)
            if (used[b]) roots[s].push_back((int32_t)b);
    }
#pragma omp parallel num_threads(threads) if (q.atoms > 1)
    {
        Center<T, Plain<T>> center(q);
        std::vector<Vec<T>> basic_slopes(3 * size.basic);
        std::vector<T> made(size.scalars * size.basic);
        std::vector<T> given(size.numbers);
#pragma omp for schedule(dynamic, 8)
        for (index_t i = 0; i < q.atoms; ++i) {
            std::fill(slopes + 3 * size.scalars * q.begins[i], slopes + 3 * size.scalars * q.begins[i + 1], T(0));
            center.gather(i);
            center.forward();
            for (index_t s = 0; s < size.scalars; ++s) {
                values[i * size.scalars + s] = center.number[q.scalars[s]];
                for (const int32_t n : steps[s]) given[q.products[n].a] = given[q.products[n].b] = 0;
                given[q.scalars[s]] = 1;
                for (const int32_t n : steps[s]) {
                    const Factor& p = q.products[n];
                    const T own = (T)p.factor * given[p.made];
                    given[p.a] += own * center.number[p.b];
                    given[p.b] += own * center.number[p.a];
                }
                for (size_t b = 0; b < roots[s].size(); ++b) made[s * size.basic + b] = given[roots[s][b]];
            }
            for (index_t k = 0; k < center.blocks; ++k) {
                const Vec<T>* u = center.u + k;
                const index_t w = center.width;
                const Vec<T> inverse = center.inverse[k];
                // the slope of a monomial of directions is that of the power of coordinates, less its part along r
                for (index_t b = 0; b < size.basic; ++b) {
                    const index_t m = q.basic[b].monomial, n = q.basic[b].radial;
                    const Vec<T> g = center.f[n * w + k], shape = center.shape[m * w + k];
                    Vec<T> turn[3] = {};
                    derivative(center, m, k, turn);
                    const Vec<T> radial = turn[0] * u[0] + turn[1] * u[w] + turn[2] * u[2 * w];
                    const Vec<T> along = (center.rise[n * w + k] * shape - g * radial * inverse) * center.stretch[k];
                    for (index_t c = 0; c < 3; ++c)
                        basic_slopes[3 * b + c] = g * turn[c] * inverse + along * u[c * w];
                }
                for (index_t s = 0; s < size.scalars; ++s) {
                    Vec<T> total[3] = {};
                    for (size_t b = 0; b < roots[s].size(); ++b) {
                        const T own = made[s * size.basic + b];
                        const Vec<T>* from = basic_slopes.data() + 3 * roots[s][b];
                        for (index_t c = 0; c < 3; ++c) total[c] += own * from[c];
                    }
                    for (index_t l = 0; l < lanes; ++l) {
                        const index_t p = center.pair[k * lanes + l];
                        if (p < 0) continue;
                        for (index_t c = 0; c < 3; ++c) slopes[3 * (p * size.scalars + s) + c] = total[c][l];
                    }
                }
            }
        }
    }
}

#define GIVEN(T)                                                                                                    \
    index_t atoms, const index_t *begins, const index_t *neighbors, const index_t *kind, const T *vectors,          \
        const Sizes *sizes, const Form *form, const Basic *basic, const Parent *parents,                            \
        const Factor *products, const int32_t *scalars, const T *coefficients
#define PROBLEM atoms, begins, neighbors, kind, vectors, *sizes, *form, basic, parents, products, scalars, coefficients
#define EXPORTS(name, T)                                                                                            \
    extern "C" void energies_##name(GIVEN(T), const T* weights, T* values, T* slopes, index_t threads) {            \
        energies<T>(Problem<T>{PROBLEM, weights}, values, slopes, threads);                                         \
    }                                                                                                               \
    extern "C" void forward_##name(GIVEN(T), T* values, T* numbers, index_t threads) {                              \
        forward<T>(Problem<T>{PROBLEM, nullptr}, values, numbers, threads);                                         \
    }                                                                                                               \
    extern "C" void backward_##name(GIVEN(T), const T* numbers, const T* given, T* slopes, index_t threads) {       \
        backward<T>(Problem<T>{PROBLEM, nullptr}, numbers, given, slopes, threads);                                 \
    }                                                                                                               \
    extern "C" void tangents_##name(GIVEN(T), const T* weights, T* values, T* slopes, index_t threads) {            \
        tangents<T>(Problem<T>{PROBLEM, weights}, values, slopes, threads);                                         \
    }                                                                                                               \
    extern "C" void jacobian_##name(GIVEN(T), T* values, T* slopes, index_t threads) {                              \
        jacobian<T>(Problem<T>{PROBLEM, nullptr}, values, slopes, threads);                                         \
    }
EXPORTS(f32, float)
EXPORTS(f64, double)
