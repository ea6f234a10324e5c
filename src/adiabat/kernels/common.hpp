// What the kernels share: the cubic B-spline that stands for a radial network, and how they are exported.
#pragma once
#include <cstdint>
#include <cmath>
#include <vector>
#include <algorithm>
#include <omp.h>

typedef int64_t index_t;

// Where a distance lies in a table of equidistant cubic B-spline coefficients, and the weights of the four
// coefficients (w) and of their derivative by the distance (d).
template <typename T>
struct Knot {
    index_t row;
    T w[4], d[4];
    Knot(T r, double start, double inverse_step, index_t rows) {
        double t = ((double)r - start) * inverse_step;
        index_t k = (index_t)std::floor(t);
        k = std::max<index_t>(0, std::min<index_t>(k, rows - 4));
        double u = t - (double)k, v = 1.0 - u;
        row = k;
        w[0] = (T)(v * v * v / 6.0);
        w[1] = (T)((3.0 * u * u * u - 6.0 * u * u + 4.0) / 6.0);
        w[2] = (T)((3.0 * v * v * v - 6.0 * v * v + 4.0) / 6.0);
        w[3] = (T)(u * u * u / 6.0);
        d[0] = (T)(-0.5 * v * v * inverse_step);
        d[1] = (T)((1.5 * u * u - 2.0 * u) * inverse_step);
        d[2] = (T)((-1.5 * v * v + 2.0 * v) * inverse_step);
        d[3] = (T)(0.5 * u * u * inverse_step);
    }
};

// Exports name_f32 and name_f64 of a template.
#define EXPORT(name, arguments, values)                                 \
    extern "C" void name##_f32 arguments(float) { name<float> values; } \
    extern "C" void name##_f64 arguments(double) { name<double> values; }
