// Sums of silu(LN(core(x))) * sigmoid(LN(gate(x))) over rows, where x is a sum of rows of several tables, gathered by
// index (gated_sum.py). Rows go through both networks in blocks that stay in the cache; sums by index are then made
// column by column, so that no two threads write to one place and results do not depend on their number.
#include "gates.hpp"

enum Kind { PAIRS, BONDS, ANGLES };
constexpr index_t BATCH = 8 * CHUNK;  // rows between sums

template <typename T>
struct Problem {
    index_t kind, rows, hidden, channels, deep;
    double epsilon;
    const T *first, *second, *third, *own, *factors;
    const index_t *i, *j, *k;
    const T *core, *gate, *core_back, *gate_back, *biases, *norms, *zeros;
    index_t wide() const { return padded<T>(hidden); }
    index_t narrow() const { return padded<T>(channels); }
};

// The first layers' values: rows of both halves, `wide` apart.
template <typename T>
inline void gather(const Problem<T>& q, index_t begin, index_t end, T* pre) {
    const index_t h = q.hidden, wide = q.wide();
    for (index_t r = begin; r < end; ++r)
        for (int half = 0; half < 2; ++half) {
            T* to = pre + (2 * (r - begin) + half) * wide;
            const T *a = q.first + (2 * q.i[r] + half) * h, *b = q.second + (2 * q.j[r] + half) * h;
            const T *c = q.third + (2 * q.k[r] + half) * h, *d = q.own + (2 * r + half) * h;
            for (index_t n = 0; n < h; n += Lanes<T>::count) {
                Vec<T> v = load(a + n, h - n) + load(b + n, h - n) + load(c + n, h - n);
                if (q.kind != PAIRS) v += load(d + n, h - n);
                at(to + n) = v;
            }
        }
}

// Subtracts the mean and divides by the deviation, in place; gives one over the deviation.
template <typename T>
INLINE T normalize(const Problem<T>& q, T* x, const T* mask) {
    const index_t narrow = q.narrow();
    Vec<T> total = {}, squares = {};
    for (index_t n = 0; n < narrow; n += Lanes<T>::count) total += at(x + n);
    const T mean = sum<T>(total) / q.channels;
    for (index_t n = 0; n < narrow; n += Lanes<T>::count) {
        const Vec<T> d = (at(x + n) - mean) * at(mask + n);
        at(x + n) = d;
        squares += d * d;
    }
    const T inverse = 1 / std::sqrt(sum<T>(squares) / q.channels + (T)q.epsilon);
    for (index_t n = 0; n < narrow; n += Lanes<T>::count) at(x + n) *= inverse;
    return inverse;
}

// From a block's rows to what is multiplied and summed, `[end - begin, narrow]`.
template <typename T>
void values(const Problem<T>& q, index_t begin, index_t end, T* pre, T* out, T* made) {
    const index_t wide = q.wide(), narrow = q.narrow(), c = q.channels, rows = end - begin;
    const T *mask = q.norms, *scale = mask + narrow, *shift = scale + narrow, *scale_g = shift + narrow;
    const T* shift_g = scale_g + narrow;
    gather(q, begin, end, pre);
    if (q.deep) {
        for (index_t n = 0; n < rows * 2 * wide; n += Lanes<T>::count) at(pre + n) *= logistic<T>(at(pre + n));
        layer<T>(rows, q.hidden, c, pre, q.core, q.biases, out, 2 * wide, 2 * narrow);
        layer<T>(rows, q.hidden, c, pre + wide, q.gate, q.biases + c, out + narrow, 2 * wide, 2 * narrow);
    } else out = pre;
    for (index_t r = 0; r < rows; ++r) {
        T *x = out + 2 * r * narrow, *g = x + narrow, *to = made + r * narrow;
        normalize(q, x, mask);
        normalize(q, g, mask);
        const index_t one = q.kind == PAIRS ? q.k[begin + r] : q.i[begin + r];
        for (index_t n = 0; n < narrow; n += Lanes<T>::count) {
            const Vec<T> y = at(x + n) * at(scale + n) + at(shift + n);
            const Vec<T> z = at(g + n) * at(scale_g + n) + at(shift_g + n);
            Vec<T> v = y * logistic<T>(y) * logistic<T>(z);
            if (q.kind != ANGLES) v *= load(q.factors + one * c + n, c - n);
            if (q.kind == BONDS) v *= load(q.factors + q.j[begin + r] * c + n, c - n);
            at(to + n) = v;
        }
    }
}

// Adds columns of a batch's rows to rows of `made` by index, or puts them there without one.
template <typename T>
INLINE void spread_rows(index_t begin, index_t end, index_t n, index_t columns, index_t step, const T* from,
                        const index_t* index, T* made, index_t made_step) {
    for (index_t r = begin; r < end; ++r) {
        T* to = made + (index ? index[r] : r) * made_step + n;
        const Vec<T>& v = at(from + (r - begin) * step + n);
        store(to, columns - n, index ? load(to, columns - n) + v : v);
    }
}

template <typename T>
void forward(const Problem<T>& q, T* made, index_t targets, index_t threads) {
    const index_t wide = q.wide(), narrow = q.narrow(), c = q.channels;
    if (q.kind != ANGLES) std::fill(made, made + targets * c, T(0));
    Scratch<T> shared(BATCH * narrow);
    T* batch = shared.take(BATCH * narrow);
#pragma omp parallel num_threads(threads) if (q.rows > CHUNK)
    {
        Scratch<T> scratch(2 * CHUNK * (wide + narrow));
        T *pre = scratch.take(2 * CHUNK * wide), *out = scratch.take(2 * CHUNK * narrow);
        for (index_t start = 0; start < q.rows; start += BATCH) {
            const index_t end = std::min(start + BATCH, q.rows);
#pragma omp for schedule(static)
            for (index_t b = start; b < end; b += CHUNK)
                values(q, b, std::min(b + CHUNK, end), pre, out, batch + (b - start) * narrow);
#pragma omp for schedule(static)
            for (index_t n = 0; n < narrow; n += Lanes<T>::count)
                spread_rows(start, end, n, c, narrow, batch, q.kind == ANGLES ? nullptr : q.i, made, c);
        }
    }
}

template <typename T>
struct Back {
    T *pre, *hid, *out, *slopes;  // of a thread
};

// Gradients of a block's gathered rows `[rows, 2, wide]` and of its factors, each `[rows, narrow]`.
template <typename T>
void pull_values(const Problem<T>& q, index_t begin, index_t end, const Back<T>& s, const T* given, T* made, T* one,
                 T* two) {
    const index_t wide = q.wide(), narrow = q.narrow(), c = q.channels, rows = end - begin;
    const T *mask = q.norms, *scale = mask + narrow, *shift = scale + narrow, *scale_g = shift + narrow;
    const T* shift_g = scale_g + narrow;
    gather(q, begin, end, s.pre);
    T* out = s.pre;
    if (q.deep) {
        out = s.out;
        for (index_t n = 0; n < rows * 2 * wide; n += Lanes<T>::count) {
            const Vec<T> x = at(s.pre + n), l = logistic<T>(x);
            at(s.hid + n) = x * l;
            at(s.pre + n) = silu_slope<T>(x, l);
        }
        layer<T>(rows, q.hidden, c, s.hid, q.core, q.biases, out, 2 * wide, 2 * narrow);
        layer<T>(rows, q.hidden, c, s.hid + wide, q.gate, q.biases + c, out + narrow, 2 * wide, 2 * narrow);
    }
    T* slopes = q.deep ? s.slopes : made;
    for (index_t r = 0; r < rows; ++r) {
        const index_t row = begin + r;
        T *x = out + 2 * r * narrow, *g = x + narrow, *dx = slopes + 2 * r * narrow, *dg = dx + narrow;
        const T inverse = normalize(q, x, mask), inverse_g = normalize(q, g, mask);
        const T* from = given + (q.kind == ANGLES ? row : q.i[row]) * c;
        const T* f = q.kind == ANGLES ? nullptr : q.factors + (q.kind == PAIRS ? q.k[row] : q.i[row]) * c;
        const T* f2 = q.kind == BONDS ? q.factors + q.j[row] * c : nullptr;
        Vec<T> total = {}, along = {}, total_g = {}, along_g = {};
        for (index_t n = 0; n < narrow; n += Lanes<T>::count) {
            const Vec<T> y = at(x + n) * at(scale + n) + at(shift + n), l = logistic<T>(y);
            const Vec<T> open = logistic<T>(at(g + n) * at(scale_g + n) + at(shift_g + n));
            Vec<T> d = load(from + n, c - n);
            if (f2) {
                const Vec<T> a = load(f + n, c - n), b = load(f2 + n, c - n), all = d * y * l * open;
                at(one + r * narrow + n) = all * b;
                at(two + r * narrow + n) = all * a;
                d *= a * b;
            } else if (f) {
                at(one + r * narrow + n) = d * y * l * open;
                d *= load(f + n, c - n);
            }
            const Vec<T> v = d * open * silu_slope<T>(y, l) * at(scale + n);
            const Vec<T> w = d * y * l * open * (1 - open) * at(scale_g + n);
            total += v, along += v * at(x + n), total_g += w, along_g += w * at(g + n);
            at(dx + n) = v, at(dg + n) = w;
        }
        const T m = sum<T>(total) / c, k = sum<T>(along) / c, m_g = sum<T>(total_g) / c, k_g = sum<T>(along_g) / c;
        for (index_t n = 0; n < narrow; n += Lanes<T>::count) {
            at(dx + n) = (at(dx + n) - m - at(x + n) * k) * at(mask + n) * inverse;
            at(dg + n) = (at(dg + n) - m_g - at(g + n) * k_g) * at(mask + n) * inverse_g;
        }
    }
    if (!q.deep) return;
    layer<T>(rows, c, q.hidden, s.slopes, q.core_back, q.zeros, made, 2 * narrow, 2 * wide);
    layer<T>(rows, c, q.hidden, s.slopes + narrow, q.gate_back, q.zeros, made + wide, 2 * narrow, 2 * wide);
    for (index_t n = 0; n < rows * 2 * wide; n += Lanes<T>::count) at(made + n) *= at(s.pre + n);
}

template <typename T>
void backward(const Problem<T>& q, const T* given, T* first, T* second, T* third, T* own, T* factors,
              index_t threads) {
    const index_t wide = q.wide(), narrow = q.narrow(), c = q.channels, h = q.hidden;
    Scratch<T> shared(BATCH * (2 * wide + 2 * narrow));
    T *batch = shared.take(2 * BATCH * wide), *one = shared.take(BATCH * narrow), *two = shared.take(BATCH * narrow);
#pragma omp parallel num_threads(threads) if (q.rows > CHUNK)
    {
        Scratch<T> scratch(4 * CHUNK * (wide + narrow));
        const Back<T> s{scratch.take(2 * CHUNK * wide), scratch.take(2 * CHUNK * wide),
                        scratch.take(2 * CHUNK * narrow), scratch.take(2 * CHUNK * narrow)};
        for (index_t start = 0; start < q.rows; start += BATCH) {
            const index_t end = std::min(start + BATCH, q.rows);
#pragma omp for schedule(static)
            for (index_t b = start; b < end; b += CHUNK) {
                const index_t place = b - start;
                pull_values(q, b, std::min(b + CHUNK, end), s, given, batch + 2 * place * wide,
                            one + place * narrow, two + place * narrow);
            }
#pragma omp for schedule(static) nowait
            for (index_t m = 0; m < 2 * wide; m += Lanes<T>::count) {
                const index_t half = m / wide, n = m - half * wide;
                const T* from = batch + half * wide;
                spread_rows(start, end, n, h, 2 * wide, from, q.i, first + half * h, 2 * h);
                spread_rows(start, end, n, h, 2 * wide, from, q.j, second + half * h, 2 * h);
                spread_rows(start, end, n, h, 2 * wide, from, q.k, third + half * h, 2 * h);
                if (q.kind != PAIRS)
                    spread_rows<T>(start, end, n, h, 2 * wide, from, nullptr, own + half * h, 2 * h);
            }
#pragma omp for schedule(static)
            for (index_t n = 0; n < narrow; n += Lanes<T>::count) {
                if (q.kind == PAIRS) spread_rows(start, end, n, c, narrow, one, q.k, factors, c);
                if (q.kind != BONDS) continue;
                spread_rows(start, end, n, c, narrow, one, q.i, factors, c);
                spread_rows(start, end, n, c, narrow, two, q.j, factors, c);
            }
        }
    }
}

#define GIVEN(T)                                                                                                    \
    index_t kind, index_t rows, index_t hidden, index_t channels, index_t deep, double epsilon, const T *first,     \
        const T *second, const T *third, const T *own, const T *factors, const index_t *i, const index_t *j,        \
        const index_t *k, const T *core, const T *gate, const T *core_back, const T *gate_back, const T *biases,    \
        const T *norms, const T *zeros
#define PROBLEM(T)                                                                                                 \
    (Problem<T>{kind, rows, hidden, channels, deep, epsilon, first, second, third, own, factors, i, j, k, core, gate, \
                core_back, gate_back, biases, norms, zeros})

template <typename T>
void push(GIVEN(T), T* made, index_t targets, index_t threads) {
    forward(PROBLEM(T), made, targets, threads);
}
template <typename T>
void pull(GIVEN(T), const T* given, T* made_first, T* made_second, T* made_third, T* made_own, T* made_factors,
          index_t threads) {
    backward(PROBLEM(T), given, made_first, made_second, made_third, made_own, made_factors, threads);
}
#define GIVEN_VALUES                                                                                                 \
    kind, rows, hidden, channels, deep, epsilon, first, second, third, own, factors, i, j, k, core, gate, core_back, \
        gate_back, biases, norms, zeros
#define PUSH(T) (GIVEN(T), T* made, index_t targets, index_t threads)
#define PULL(T)                                                                                              \
    (GIVEN(T), const T* given, T* made_first, T* made_second, T* made_third, T* made_own, T* made_factors, \
     index_t threads)
EXPORT(push, PUSH, (GIVEN_VALUES, made, targets, threads))
EXPORT(pull, PULL, (GIVEN_VALUES, given, made_first, made_second, made_third, made_own, made_factors, threads))
