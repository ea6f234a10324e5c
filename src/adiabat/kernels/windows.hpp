// Functions that are 0 outside of two ends, of distances and of angles.
#pragma once
#include "lanes.hpp"

struct Window {  // a cutoff function, or a function between two ends
    int32_t form, compact, asymmetric;
};

inline constexpr double UNIT[2] = {1, 0};

// A window with its slope: 0 outside of left and right.
template <typename T>
struct Shape {
    Cutoff<T> core;
    bool compact, asymmetric;
    T left, radius, middle, scale;
    Shape(const Window& own, const double* ends)
        : core(own.form, own.compact ? UNIT : ends), compact(own.compact), asymmetric(own.asymmetric),
          left(compact ? ends[1] : -1), radius(ends[0]), middle((ends[0] + ends[1]) / 2),
          scale(2 / (ends[0] - ends[1])) {}

    INLINE void operator()(const Vec<T>& r, Vec<T>& f, Vec<T>& slope) const {
        if (!compact) return core(r, f, slope);
        const Vec<T> one = spread<T>(1), u = (r - middle) * scale, rate = u < Vec<T>{} ? -one * scale : one * scale;
        Vec<T> v = u < Vec<T>{} ? -u : u;
        v = v > one ? one : v;
        if (!asymmetric) {
            core(v, f, slope);
            slope *= rate;
        } else {
            core((2 - v) * v, f, slope);
            slope *= rate * (2 - 2 * v);
        }
    }
};

// cos z and sin z for any z that is not huge
template <typename T>
INLINE void wave(const Vec<T>& z, Vec<T>& cosine, Vec<T>& sine) {
    const Vec<T> magic = spread<T>(Lanes<T>::magic), shifted = z * (T)M_1_PI + magic, n = shifted - magic;
    sine_cosine<T>((z - n * (T)0x1.921fb6p1) - n * (T)(M_PI - 0x1.921fb6p1), sine, cosine);
    const Ints<T> odd = ((Ints<T>)shifted & 1) != 0;
    sine = odd ? -sine : sine, cosine = odd ? -cosine : cosine;
}
