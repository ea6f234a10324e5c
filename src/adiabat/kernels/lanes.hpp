// Vectors of 64 bytes, elementary functions of them, and cutoff functions with their slopes.
#pragma once
#include "common.hpp"

#define INLINE inline __attribute__((always_inline))

template <typename T>
struct Lanes;
template <>
struct Lanes<double> {
    typedef double vec __attribute__((vector_size(64)));
    typedef int64_t ints __attribute__((vector_size(64)));
    static constexpr int count = 8, mantissa = 52, bias = 1023, exp_terms = 14, sine_terms = 11,
                         log_terms = 11;
    static constexpr double magic = 6755399441055744.0, lowest = -708.0, high = 0x1.62e42fefa0000p-1;
    static constexpr double low = 0x1.cf79abc9e3b3ap-40;
};
template <>
struct Lanes<float> {
    typedef float vec __attribute__((vector_size(64)));
    typedef int32_t ints __attribute__((vector_size(64)));
    static constexpr int count = 16, mantissa = 23, bias = 127, exp_terms = 8, sine_terms = 7,
                         log_terms = 6;
    static constexpr float magic = 12582912.0f, lowest = -87.0f, high = 0x1.62e400p-1f, low = 0x1.7f7d1cp-20f;
};

template <typename T>
using Vec = typename Lanes<T>::vec;
template <typename T>
using Ints = typename Lanes<T>::ints;

template <typename T>
INLINE Vec<T>& at(T* p) {
    return *(Vec<T>*)p;
}
template <typename T>
INLINE const Vec<T>& at(const T* p) {
    return *(const Vec<T>*)p;
}
template <typename T>
INLINE Vec<T> spread(double value) {
    return Vec<T>{} + (T)value;
}
// Halves added to halves: shorter than a chain of additions.
template <typename T>
INLINE T sum(const Vec<T>& v) {
    T part[Lanes<T>::count];
    for (int l = 0; l < Lanes<T>::count; ++l) part[l] = v[l];
#pragma GCC unroll 4
    for (int half = Lanes<T>::count / 2; half; half /= 2)
#pragma GCC unroll 8
        for (int l = 0; l < half; ++l) part[l] += part[l + half];
    return part[0];
}

struct Factorials {
    double inverse[26];
    constexpr Factorials() : inverse() {
        double f = 1;
        for (int n = 0; n < 26; ++n) {
            inverse[n] = 1 / f;
            f *= n + 1;
        }
    }
};
constexpr Factorials factorials;

// e^x where it is a normal number.
template <typename T>
INLINE Vec<T> exponential_within(const Vec<T>& x) {
    using L = Lanes<T>;
    const Vec<T> magic = spread<T>(L::magic);
    const Vec<T> shifted = x * (T)1.4426950408889634 + magic, n = shifted - magic;
    const Vec<T> r = (x - n * (T)L::high) - n * (T)L::low;
    Vec<T> value = spread<T>(factorials.inverse[L::exp_terms - 1]);
#pragma GCC unroll 16
    for (int k = L::exp_terms - 2; k >= 0; --k) value = value * r + (T)factorials.inverse[k];
    const Ints<T> scale = ((Ints<T>)shifted + L::bias) << L::mantissa;
    return value * (Vec<T>)scale;
}
// e^x for x up to a few; 0 (nearly) far below.
template <typename T>
INLINE Vec<T> exponential(const Vec<T>& x) {
    const Vec<T> bottom = spread<T>(Lanes<T>::lowest);
    return exponential_within<T>(x < bottom ? bottom : x);
}

// ln x for positive, not denormal x: x = 2^e m with m between 1/sqrt 2 and sqrt 2, and ln m = 2 artanh((m-1)/(m+1)).
template <typename T>
INLINE Vec<T> logarithm(const Vec<T>& x) {
    using L = Lanes<T>;
    const Ints<T> bits = (Ints<T>)x, digits = (Ints<T>{} + 1 << L::mantissa) - 1;
    Vec<T> m = (Vec<T>)((bits & digits) | (Ints<T>{} + L::bias << L::mantissa));
    Vec<T> e = __builtin_convertvector((bits >> L::mantissa) - L::bias, Vec<T>);
    const Ints<T> large = m > spread<T>(M_SQRT2);
    m = large ? m * (T)0.5 : m;
    e = large ? e + 1 : e;
    const Vec<T> s = (m - 1) / (m + 1), square = s * s;
    Vec<T> value = spread<T>(2.0 / (2 * L::log_terms - 1));
#pragma GCC unroll 16
    for (int k = L::log_terms - 2; k >= 0; --k) value = value * square + (T)(2.0 / (2 * k + 1));
    return e * (T)L::high + (value * s + e * (T)L::low);
}

// sin z and cos z for |z| <= pi/2, by their series
template <typename T>
INLINE void sine_cosine(const Vec<T>& z, Vec<T>& sine, Vec<T>& cosine) {
    constexpr int terms = Lanes<T>::sine_terms;
    const Vec<T> square = z * z;
    sine = spread<T>(((terms - 1) % 2 ? -1 : 1) * factorials.inverse[2 * terms - 1]);
    cosine = spread<T>((terms % 2 ? -1 : 1) * factorials.inverse[2 * terms]);
#pragma GCC unroll 16
    for (int k = terms - 2; k >= 0; --k) sine = sine * square + (T)((k % 2 ? -1 : 1) * factorials.inverse[2 * k + 1]);
#pragma GCC unroll 16
    for (int k = terms - 1; k >= 0; --k) cosine = cosine * square + (T)((k % 2 ? -1 : 1) * factorials.inverse[2 * k]);
    sine *= z;
}

// The series of arcsin: z + z^3/6 + ...
struct Arcsine {
    double term[24];
    constexpr Arcsine() : term() {
        double f = 1;
        for (int k = 0; k < 24; ++k) {
            term[k] = f / (2 * k + 1);
            f *= (2 * k + 1) / (2.0 * (k + 1));
        }
    }
};
constexpr Arcsine arcsine;

// arccos c for |c| <= 1: pi/2 - arcsin c where c is small, else with arccos c = 2 arcsin(sqrt((1 - c)/2))
template <typename T>
INLINE Vec<T> arccosine(const Vec<T>& c) {
    constexpr int terms = sizeof(T) == 8 ? 24 : 11;
    const Vec<T> size = c < Vec<T>{} ? -c : c;
    const Ints<T> large = size > spread<T>(0.5);
    const Vec<T> square = large ? (1 - size) * (T)0.5 : size * size;
    Vec<T> value = spread<T>(arcsine.term[terms - 1]), root;
#pragma GCC unroll 24
    for (int k = terms - 2; k >= 0; --k) value = value * square + (T)arcsine.term[k];
    for (int l = 0; l < Lanes<T>::count; ++l) root[l] = std::sqrt(square[l]);
    value *= root;
    const Vec<T> half = spread<T>(M_PI_2), acute = large ? 2 * value : half - value;
    return c < Vec<T>{} ? 2 * half - acute : acute;
}

// A cutoff function and its slope; kinds as in nn/inner_cutoffs.py.
template <typename T>
struct Cutoff {
    index_t kind;
    T radius, inner, scale;
    Cutoff(index_t kind, const double* values)
        : kind(kind), radius(values[0]), inner(values[1]), scale(1 / (values[0] - values[1])) {}

    INLINE void operator()(const Vec<T>& r, Vec<T>& f, Vec<T>& slope) const {
        const Vec<T> zero = {}, one = spread<T>(1);
        Vec<T> x = (r - inner) * scale;
        x = x < zero ? zero : x;
        x = x > one ? one : x;
        const Vec<T> y = 1 - x;
        switch (kind) {
            case 0:
                f = one, slope = zero;
                break;
            case 1: {
                Vec<T> sine, cosine;
                sine_cosine<T>((x - (T)0.5) * (T)M_PI, sine, cosine);
                f = (1 - sine) * (T)0.5, slope = cosine * (T)(-0.5 * M_PI);
                break;
            }
            case 2:
            case 3: {
                const Vec<T> e = exponential<T>(2 * y), t = (e - 1) / (e + 1);
                const T norm = kind == 2 ? 1 : 1 / std::pow(std::tanh(1.0), 3);
                f = t * t * t * norm, slope = (t * t - 1) * t * t * (3 * norm);
                break;
            }
            case 4: {
                const Vec<T> last = spread<T>(0.9999), u = x < last ? x : last, d = 1 / (1 - u * u);
                f = exponential<T>(1 - d), slope = -2 * f * u * d * d;
                break;
            }
            case 5:
                f = (2 * x - 3) * x * x + 1, slope = -6 * x * y;
                break;
            case 6:
                f = ((15 - 6 * x) * x - 10) * x * x * x + 1, slope = -30 * x * x * y * y;
                break;
            case 7:
                f = (x * (x * (20 * x - 70) + 84) - 35) * x * x * x * x + 1, slope = -140 * x * x * x * y * y * y;
                break;
            default:
                f = (x * (x * ((315 - 70 * x) * x - 540) + 420) - 126) * x * x * x * x * x + 1;
                slope = -630 * x * x * x * x * y * y * y * y;
        }
        const Vec<T> end = spread<T>(radius);
        f = r < end ? f : zero;
        slope = r < end ? slope * scale : zero;
    }
};
