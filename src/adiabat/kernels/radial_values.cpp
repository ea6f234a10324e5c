// Tabulated functions of a distance, with their slopes if asked for (radial_values.py). Rows of the table are filled
// up to whole vectors.
#include "gates.hpp"

template <typename T>
struct Row {  // the table at one distance
    Knot<T> knot;
    const T *a, *b, *c, *d;
    Row(T r, const T* table, index_t wide, index_t intervals, double start, double inverse_step)
        : knot(r, start, inverse_step, intervals), a(table + knot.interval * 4 * wide), b(a + wide), c(b + wide),
          d(c + wide) {}
    INLINE Vec<T> value(index_t n) const {
        return at(a + n) + knot.u * (at(b + n) + knot.u * (at(c + n) + knot.u * at(d + n)));
    }
    INLINE Vec<T> slope(index_t n) const {
        return (at(b + n) + knot.u * (2 * at(c + n) + 3 * knot.u * at(d + n))) * knot.slope;
    }
};

template <typename T>
void push(index_t rows, index_t channels, index_t sloped, const T* r, const T* table, index_t intervals, double start,
          double inverse_step, T* values, T* slopes, index_t threads) {
    const index_t wide = padded<T>(channels);
#pragma omp parallel for num_threads(threads) if (rows > 4096)
    for (index_t p = 0; p < rows; ++p) {
        const Row<T> row(r[p], table, wide, intervals, start, inverse_step);
        for (index_t n = 0; n < channels; n += Lanes<T>::count) {
            store(values + p * channels + n, channels - n, row.value(n));
            if (sloped) store(slopes + p * channels + n, channels - n, row.slope(n));
        }
    }
}

template <typename T>
void pull(index_t rows, index_t channels, const T* r, const T* table, index_t intervals, double start,
          double inverse_step, const T* given, T* made, index_t threads) {
    const index_t wide = padded<T>(channels);
#pragma omp parallel for num_threads(threads) if (rows > 4096)
    for (index_t p = 0; p < rows; ++p) {
        const Row<T> row(r[p], table, wide, intervals, start, inverse_step);
        Vec<T> along = {};
        for (index_t n = 0; n < channels; n += Lanes<T>::count)
            along += load(given + p * channels + n, channels - n) * row.slope(n);
        made[p] = sum<T>(along);
    }
}

#define PUSH(T)                                                                                                     \
    (index_t rows, index_t channels, index_t sloped, const T* r, const T* table, index_t intervals, double start,  \
     double inverse_step, T* values, T* slopes, index_t threads)
#define PULL(T)                                                                                        \
    (index_t rows, index_t channels, const T* r, const T* table, index_t intervals, double start,      \
     double inverse_step, const T* given, T* made, index_t threads)
EXPORT(push, PUSH, (rows, channels, sloped, r, table, intervals, start, inverse_step, values, slopes, threads))
EXPORT(pull, PULL, (rows, channels, r, table, intervals, start, inverse_step, given, made, threads))
