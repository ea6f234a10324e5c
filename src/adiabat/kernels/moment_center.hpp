// Moment tensors of one center, their contractions and slopes.
//
// The neighbors of a center are sorted by element and laid out in vectors of 64 bytes, filled up with ones at the
// cutoff. Everything is written for a type of number that is either a value, or a value with its derivative by one
// coefficient of the radial functions.
#pragma once
#include <utility>

#include "lanes.hpp"

// A value and its derivative along a direction.
template <typename V>
struct Dual {
    V v, d;
};
template <typename V>
INLINE Dual<V> operator+(const Dual<V>& a, const Dual<V>& b) { return {a.v + b.v, a.d + b.d}; }
template <typename V>
INLINE Dual<V> operator-(const Dual<V>& a, const Dual<V>& b) { return {a.v - b.v, a.d - b.d}; }
template <typename V>
INLINE Dual<V> operator*(const Dual<V>& a, const Dual<V>& b) { return {a.v * b.v, a.v * b.d + a.d * b.v}; }
template <typename V>
INLINE Dual<V>& operator+=(Dual<V>& a, const Dual<V>& b) { return a = a + b; }

struct Sizes {
    index_t kinds, radial, basis, monomials, basic, numbers, products, scalars, gaussian;
};
// What radial functions are made of up to `outer`: Chebyshev polynomials of a variable that is -1 at `inner`, times the
// square of the rest, or Gaussians height exp(-rate x^2) of distances from centers, times a cosine that ends.
// Directions are vectors over distances plus `offset`.
struct Form {
    double inner, outer, offset, height;
    const double* centers() const { return (const double*)(this + 1); }  // and then their rates
};
struct Basic {
    int32_t radial, monomial;
};
struct Factor {  // numbers[made] += factor * numbers[a] * numbers[b]
    int32_t a, b, factor, made;
};
struct Parent {
    int32_t monomial, axis;
};

template <typename T>
struct Problem {
    index_t atoms;
    const index_t *begins, *neighbors, *kind;
    const T* vectors;
    const Sizes& size;
    const Form& form;
    const Basic* basic;
    const Parent* parents;
    const Factor* products;
    const int32_t* scalars;
    const T *coefficients, *weights;  // [kinds, kinds, radial, basis], [kinds, scalars]
};

// Plain numbers, in vectors (wide) and alone (one).
template <typename T>
struct Plain {
    using wide = Vec<T>;
    using one = T;
    static constexpr bool dual = false;
    static INLINE wide constant(T value) { return spread<T>(value); }
    static INLINE wide fixed(const Vec<T>& v) { return v; }
    static INLINE one alone(T value) { return value; }
    static INLINE one total(const wide& v) { return sum<T>(v); }
    static INLINE wide of(one v) { return spread<T>(v); }
};
template <typename T>
struct Along {
    using wide = Dual<Vec<T>>;
    using one = Dual<T>;
    static constexpr bool dual = true;
    static INLINE wide constant(T value) { return {spread<T>(value), Vec<T>{}}; }
    static INLINE wide fixed(const Vec<T>& v) { return {v, Vec<T>{}}; }
    static INLINE one alone(T value) { return {value, 0}; }
    static INLINE one total(const wide& v) { return {sum<T>(v.v), sum<T>(v.d)}; }
    static INLINE wide of(const one& v) { return {spread<T>(v.v), spread<T>(v.d)}; }
};

template <typename T, typename Kind>
struct Center {
    using vec = Vec<T>;
    using wide = typename Kind::wide;
    using one = typename Kind::one;
    static constexpr index_t lanes = Lanes<T>::count;

    const Problem<T>& q;
    const Sizes& size;
    index_t width = 0, blocks = 0;     // width: vectors of the most neighbors
    std::vector<char> memory;
    wide *u, *inverse, *stretch, *f, *rise, *shape, *pulled;  // [..][width]; u: three, rise: df/dr
    vec *phi, *climb;                                     // what radial functions are made of, and slopes
    one *number, *given;                                  // of all numbers and their gradient
    std::vector<index_t> pair, kind;                      // pair of each lane, -1 for none; element of each block
    const Cutoff<T> cutoff;

    explicit Center(const Problem<T>& q)
        : q(q), size(q.size), cutoff(1, std::vector<double>{q.form.outer, 0}.data()) {
        index_t most = 0;
        for (index_t i = 0; i < q.atoms; ++i) most = std::max(most, q.begins[i + 1] - q.begins[i]);
        width = most / lanes + size.kinds + 1;
        const index_t rows = 5 + 2 * size.radial + size.monomials + 2 * size.basis;
        memory.resize((rows * width + size.monomials) * sizeof(wide) + 2 * size.numbers * sizeof(one) + 64);
        char* at = (char*)(((uintptr_t)memory.data() + 63) / 64 * 64);
        auto take = [&](index_t some) { return (wide*)std::exchange(at, at + some * sizeof(wide)); };
        u = take(3 * width), inverse = take(width), stretch = take(width), f = take(size.radial * width);
        rise = take(size.radial * width), shape = take(size.monomials * width), pulled = take(size.monomials);
        phi = (vec*)take(size.basis * width), climb = (vec*)take(size.basis * width);
        number = (one*)at, given = number + size.numbers;
        pair.resize(width * lanes), kind.resize(width);
    }

    // Neighbors within the cutoff, sorted by element.
    void gather(index_t i) {
        blocks = 0;
        const T limit = q.form.outer * q.form.outer;
        for (index_t a = 0; a < size.kinds; ++a) {
            index_t lane = lanes;
            for (index_t p = q.begins[i]; p < q.begins[i + 1]; ++p) {
                const T* v = q.vectors + 3 * p;
                if (q.kind[q.neighbors[p]] != a || !(v[0] * v[0] + v[1] * v[1] + v[2] * v[2] < limit)) continue;
                if (lane == lanes) {
                    lane = 0, kind[blocks] = a;
                    for (index_t k = 0; k < 3; ++k) u[k * width + blocks] = Kind::constant(k ? 0 : (T)q.form.outer);
                    std::fill_n(pair.begin() + blocks * lanes, lanes, -1);
                    ++blocks;
                }
                const index_t block = blocks - 1;
                for (index_t k = 0; k < 3; ++k) {
                    if constexpr (Kind::dual)
                        u[k * width + block].v[lane] = v[k];
                    else
                        u[k * width + block][lane] = v[k];
                }
                pair[block * lanes + lane++] = p;
            }
        }
        for (index_t k = 0; k < blocks; ++k) {
            wide &x = u[k], &y = u[width + k], &z = u[2 * width + k];
            vec square, r;
            if constexpr (Kind::dual)
                square = x.v * x.v + y.v * y.v + z.v * z.v;
            else
                square = x * x + y * y + z * z;
            for (index_t l = 0; l < lanes; ++l) r[l] = std::sqrt(square[l]);
            const vec longer = r + (T)q.form.offset;
            inverse[k] = Kind::fixed(1 / longer), stretch[k] = Kind::fixed(longer / r);
            x = x * inverse[k], y = y * inverse[k], z = z * inverse[k];
            radial(k, r, q.coefficients + (q.kind[i] * size.kinds + kind[k]) * size.radial * size.basis);
            shape[k] = Kind::constant(1);
        }
        for (index_t m = 1; m < size.monomials; ++m) {
            const wide *low = shape + q.parents[m].monomial * width, *along = u + q.parents[m].axis * width;
            for (index_t k = 0; k < blocks; ++k) shape[m * width + k] = low[k] * along[k];
        }
    }

    // Radial functions, their slopes, and the functions that they are made of.
    INLINE void radial(index_t k, const vec& r, const T* c) {
        size.gaussian ? gaussians(k, r) : polynomials(k, r);
        for (index_t n = 0; n < size.radial; ++n) {
            vec value = {}, slope = {};
            for (index_t b = 0; b < size.basis; ++b) {
                value += c[n * size.basis + b] * phi[b * width + k];
                slope += c[n * size.basis + b] * climb[b * width + k];
            }
            f[n * width + k] = Kind::fixed(value), rise[n * width + k] = Kind::fixed(slope);
        }
    }

    INLINE void polynomials(index_t k, const vec& r) {
        const T scale = 2 / (q.form.outer - q.form.inner);
        const vec x = r * scale - (1 + (T)q.form.inner * scale), left = (T)q.form.outer - r, square = left * left;
        vec t = spread<T>(1), before = x, steep = {}, steep_before = spread<T>(1);
        for (index_t b = 0; b < size.basis; ++b) {  // before: what would follow backwards, T_-1 = T_1
            phi[b * width + k] = t * square, climb[b * width + k] = steep * square * scale - 2 * left * t;
            const vec next = b ? 2 * x * t - before : x;
            const vec steeper = b ? 2 * t + 2 * x * steep - steep_before : spread<T>(1);
            before = t, t = next, steep_before = steep, steep = steeper;
        }
    }

    INLINE void gaussians(index_t k, const vec& r) {
        vec cut, fall;
        cutoff(r, cut, fall);
        const double *centers = q.form.centers(), *rates = centers + size.basis;
        for (index_t b = 0; b < size.basis; ++b) {
            const T rate = rates[b];
            const vec apart = r - (T)centers[b];
            const vec value = exponential<T>(apart * apart * -rate) * (T)q.form.height;
            phi[b * width + k] = value * cut, climb[b * width + k] = value * (fall - 2 * rate * apart * cut);
        }
    }

    void forward() {
        for (index_t b = 0; b < size.basic; ++b) {
            const wide *g = f + q.basic[b].radial * width, *s = shape + q.basic[b].monomial * width;
            wide total = Kind::constant(0);
            for (index_t k = 0; k < blocks; ++k) total += g[k] * s[k];
            number[b] = Kind::total(total);
        }
        std::fill(number + size.basic, number + size.numbers, Kind::alone(0));
        for (index_t n = 0; n < size.products; ++n) {
            const Factor& p = q.products[n];
            number[p.made] += Kind::alone((T)p.factor) * (number[p.a] * number[p.b]);
        }
    }

    // Gradients of all numbers, from those of the contractions.
    void backward(const T* weights) {
        std::fill(given, given + size.numbers, Kind::alone(0));
        for (index_t s = 0; s < size.scalars; ++s) given[q.scalars[s]] = Kind::alone(weights[s]);
        for (index_t n = size.products - 1; n >= 0; --n) {
            const Factor& p = q.products[n];
            const one own = Kind::alone((T)p.factor) * given[p.made];
            given[p.a] += own * number[p.b];
            given[p.b] += own * number[p.a];
        }
    }

    // The slope of a block's pairs with respect to x, y and z, from `given`.
    INLINE void pull(index_t k, wide* slope) {
        std::fill(pulled, pulled + size.monomials, Kind::constant(0));
        wide along = Kind::constant(0), turn[3] = {along, along, along};
        for (index_t b = 0; b < size.basic;) {
            const index_t n = q.basic[b].radial;
            const wide g = f[n * width + k];
            wide own = Kind::constant(0);
            for (; b < size.basic && q.basic[b].radial == n; ++b) {
                const index_t m = q.basic[b].monomial;
                const wide value = Kind::of(given[b]);
                own += value * shape[m * width + k];
                pulled[m] += value * g;
            }
            along += own * rise[n * width + k];
        }
        for (index_t m = size.monomials - 1; m > 0; --m) {
            const Parent& p = q.parents[m];
            turn[p.axis] += pulled[m] * shape[p.monomial * width + k];
            pulled[p.monomial] += pulled[m] * u[p.axis * width + k];
        }
        const wide *x = u + k, *y = x + width, *z = y + width;
        const wide inward = turn[0] * *x + turn[1] * *y + turn[2] * *z;
        const wide rest = (along - inward * inverse[k]) * stretch[k];
        slope[0] = turn[0] * inverse[k] + rest * *x;
        slope[1] = turn[1] * inverse[k] + rest * *y;
        slope[2] = turn[2] * inverse[k] + rest * *z;
    }

    // The slopes of an atom's pairs, from `given`.
    void slopes(index_t i, T* out) {
        std::fill(out + 3 * q.begins[i], out + 3 * q.begins[i + 1], T(0));
        for (index_t k = 0; k < blocks; ++k) {
            wide slope[3];
            pull(k, slope);
            for (index_t l = 0; l < lanes; ++l)
                for (index_t c = 0; c < 3 && pair[k * lanes + l] >= 0; ++c)
                    out[3 * pair[k * lanes + l] + c] = slope[c][l];
        }
    }
};
