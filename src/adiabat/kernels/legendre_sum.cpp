// Sums over the angles at each atom (legendre_sum.py). The near pairs of a center are laid out as vectors, one pair a
// lane; its density, sums of harmonics times values, never leaves the cache.
#include "gates.hpp"

template <typename T>
struct Problem {
    index_t atoms, degrees, count, of_centers;
    const T *harmonics, *r, *gates, *angular, *slopes;
    const index_t *begins, *neighbors, *order, *order_begins;
    const T* sizes;
    index_t orders() const { return degrees * degrees; }
    index_t sums() const { return degrees * count; }
    index_t most() const {
        index_t found = 0;
        for (index_t i = 0; i < atoms; ++i) found = std::max(found, begins[i + 1] - begins[i]);
        return padded<T>(found);
    }
    T envelope(index_t p) const { return angular[p * (sums() + 1) + sums()]; }
};

// A center's near pairs: harmonics, gated values and envelopes, each `width` apart.
template <typename T>
struct Center {
    static constexpr index_t lanes = Lanes<T>::count;
    const Problem<T>& q;
    const index_t orders, count, sums, width;
    index_t near = 0;
    std::vector<index_t> pairs;
    Scratch<T> memory;
    T *y, *a, *envelope, *density, *pulled, *given, *rise, *along;

    Center(const Problem<T>& q, index_t width)
        : q(q), orders(q.orders()), count(q.count), sums(q.sums()), width(width), pairs(width),
          memory((orders + 3 * sums + 3) * width + 2 * padded<T>(orders * count)) {
        y = memory.take(orders * width), a = memory.take(sums * width), envelope = memory.take(width);
        given = memory.take(sums * width), rise = memory.take(sums * width), along = memory.take(2 * width);
        density = memory.take(padded<T>(orders * count)), pulled = memory.take(padded<T>(orders * count));
    }

    // f(l, harmonic, sum) of everything that belongs to one degree
    template <typename F>
    INLINE void each(F f) const {
        for (index_t l = 0; l < q.degrees; ++l)
            for (index_t o = l * l; o < (l + 1) * (l + 1); ++o)
                for (index_t n = 0; n < count; ++n) f(o, l * count + n, o * count + n);
    }
    const T* gate(index_t i, index_t p) const { return q.gates + (q.of_centers ? i : q.neighbors[p]) * sums; }

    void gather(index_t i) {
        near = 0;
        for (index_t p = q.begins[i]; p < q.begins[i + 1]; ++p)
            if (q.envelope(p) != T(0)) pairs[near++] = p;
        for (index_t k = 0; k < padded<T>(near); ++k) {
            const index_t p = pairs[std::min(k, near - 1)];
            const T *own = q.angular + p * (sums + 1), *open = gate(i, p);
            for (index_t o = 0; o < orders; ++o) y[o * width + k] = k < near ? q.harmonics[p * orders + o] : T(0);
            for (index_t n = 0; n < sums; ++n) a[n * width + k] = k < near ? own[n] * open[n] : T(0);
            envelope[k] = k < near ? own[sums] : T(0);
        }
    }
    // Sums over pairs of harmonics times rows.
    void sum_up(const T* rows, T* made) const {
        each([&](index_t o, index_t n, index_t place) {
            Vec<T> total = {};
            for (index_t k = 0; k < near; k += lanes) total += at(y + o * width + k) * at(rows + n * width + k);
            made[place] = sum<T>(total);
        });
    }
    // Products of harmonics and sums, less the pairs' own part.
    void spread_out(const T* sum, const T* own, T* made) const {
        for (index_t n = 0; n < sums * width; n += lanes) at(made + n) = -at(own + n);
        each([&](index_t o, index_t n, index_t place) {
            for (index_t k = 0; k < near; k += lanes) at(made + n * width + k) += at(y + o * width + k) * sum[place];
        });
    }

    void push(index_t i, T* made) {
        gather(i);
        std::fill(made + q.begins[i] * sums, made + q.begins[i + 1] * sums, T(0));
        if (!near) return;
        sum_up(a, density);
        spread_out(density, a, rise);
        for (index_t k = 0; k < near; ++k)
            for (index_t n = 0; n < sums; ++n)
                made[pairs[k] * sums + n] = rise[n * width + k] * envelope[k] * q.sizes[n / count];
    }

    // `by_pairs`: of gates, still one a pair.
    void pull(index_t i, const T* from, T* harmonics, T* r, T* by_pairs) {
        gather(i);
        for (index_t p = q.begins[i]; p < q.begins[i + 1]; ++p) {
            r[p] = 0;
            for (index_t o = 0; o < orders; ++o) harmonics[p * orders + o] = 0;
            for (index_t n = 0; n < sums; ++n) by_pairs[p * sums + n] = 0;
        }
        if (!near) return;
        sum_up(a, density);
        spread_out(density, a, rise);
        for (index_t k = 0; k < padded<T>(near); ++k) along[k] = 0;
        for (index_t n = 0; n < sums; ++n)
            for (index_t k = 0; k < padded<T>(near); ++k) {
                const T g = k < near ? from[pairs[k] * sums + n] * q.sizes[n / count] : T(0);
                along[k] += g * rise[n * width + k];  // by the envelope
                given[n * width + k] = g * envelope[k];
            }
        sum_up(given, pulled);
        spread_out(pulled, given, rise);  // by the gated values
        for (index_t l = 0; l < q.degrees; ++l)
            for (index_t o = l * l; o < (l + 1) * (l + 1); ++o)
                for (index_t k = 0; k < near; ++k) {
                    T total = 0;
                    for (index_t n = 0; n < count; ++n)
                        total += given[(l * count + n) * width + k] * density[o * count + n] +
                                 a[(l * count + n) * width + k] * pulled[o * count + n];
                    harmonics[pairs[k] * orders + o] = total;
                }
        for (index_t k = 0; k < near; ++k) {
            const index_t p = pairs[k];
            const T *own = q.angular + p * (sums + 1), *slope = q.slopes + p * (sums + 1), *open = gate(i, p);
            T total = along[k] * slope[sums];
            for (index_t n = 0; n < sums; ++n) {
                const T d = rise[n * width + k];
                total += d * open[n] * slope[n];
                by_pairs[p * sums + n] = d * own[n];
            }
            r[p] = total;
        }
    }
};

template <typename T>
void forward(const Problem<T>& q, T* made, index_t threads) {
    const index_t width = q.most();
#pragma omp parallel num_threads(threads)
    {
        Center<T> center(q, width);
#pragma omp for schedule(dynamic, 16)
        for (index_t i = 0; i < q.atoms; ++i) center.push(i, made);
    }
}

template <typename T>
void backward(const Problem<T>& q, const T* given, T* harmonics, T* r, T* gates, index_t threads) {
    const index_t width = q.most(), sums = q.sums();
    std::vector<T> by_pairs(q.begins[q.atoms] * sums);
#pragma omp parallel num_threads(threads)
    {
        Center<T> center(q, width);
#pragma omp for schedule(dynamic, 16)
        for (index_t i = 0; i < q.atoms; ++i) center.pull(i, given, harmonics, r, by_pairs.data());
#pragma omp for schedule(static)
        for (index_t i = 0; i < q.atoms; ++i) {
            T* to = gates + i * sums;
            std::fill(to, to + sums, T(0));
            const index_t* begins = q.of_centers ? q.begins : q.order_begins;
            for (index_t k = begins[i]; k < begins[i + 1]; ++k) {
                const index_t p = q.of_centers ? k : q.order[k];
                if (q.envelope(p) == T(0)) continue;
                for (index_t n = 0; n < sums; ++n) to[n] += by_pairs[p * sums + n];
            }
        }
    }
}

#define GIVEN(T)                                                                                                \
    index_t atoms, index_t degrees, index_t count, index_t of_centers, const T *harmonics, const T *r,          \
        const T *gates, const T *angular, const T *slopes, const index_t *begins, const index_t *neighbors,     \
        const index_t *order, const index_t *order_begins, const T *sizes
#define PROBLEM(T)                                                                                             \
    (Problem<T>{atoms, degrees, count, of_centers, harmonics, r, gates, angular, slopes, begins, neighbors,    \
                order, order_begins, sizes})
#define GIVEN_VALUES                                                                                                \
    atoms, degrees, count, of_centers, harmonics, r, gates, angular, slopes, begins, neighbors, order, order_begins, \
        sizes

template <typename T>
void push(GIVEN(T), T* made, index_t threads) {
    forward(PROBLEM(T), made, threads);
}
template <typename T>
void pull(GIVEN(T), const T* given, T* made_harmonics, T* made_r, T* made_gates, index_t threads) {
    backward(PROBLEM(T), given, made_harmonics, made_r, made_gates, threads);
}
#define PUSH(T) (GIVEN(T), T* made, index_t threads)
#define PULL(T) (GIVEN(T), const T* given, T* made_harmonics, T* made_r, T* made_gates, index_t threads)
EXPORT(push, PUSH, (GIVEN_VALUES, made, threads))
EXPORT(pull, PULL, (GIVEN_VALUES, given, made_harmonics, made_r, made_gates, threads))
