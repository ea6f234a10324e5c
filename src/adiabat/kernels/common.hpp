// What the kernels share: the cubic B-spline that stands for a radial network, and how they are exported.
#pragma once
#include <cstdint>
#include <cmath>
#include <vector>
#include <algorithm>
#include <omp.h>

typedef int64_t index_t;

// Where a distance lies in a table of equidistant intervals, each with the four coefficients of a cubic in u = 0..1.
// Coefficients rather than values at knots: a slope made of differences of values would lose digits in float32.
template <typename T>
struct Knot {
    index_t interval;
    T u, slope;  // slope: du/dr
    Knot(T r, double start, double inverse_step, index_t intervals) {
        double t = ((double)r - start) * inverse_step;
        interval = std::max<index_t>(0, std::min<index_t>((index_t)std::floor(t), intervals - 1));
        u = (T)(t - (double)interval);
        slope = (T)inverse_step;
    }
};

// A block of numbers that the compiler keeps in vector registers, of any processor, and that may lie anywhere.
// Templates take the struct: a type that is a template's argument itself loses its alignment.
template <typename T>
struct Block {
    typedef T type __attribute__((vector_size(64), aligned(sizeof(T))));
    static constexpr index_t width = 64 / sizeof(T);
    static T sum(type v) {
        T total = 0;
        for (index_t w = 0; w < width; ++w) total += v[w];
        return total;
    }
};

// Exports name_f32 and name_f64 of a template.
#define EXPORT(name, arguments, values)                                 \
    extern "C" void name##_f32 arguments(float) { name<float> values; } \
    extern "C" void name##_f64 arguments(double) { name<double> values; }
