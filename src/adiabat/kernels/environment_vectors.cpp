// Atomic environment vectors, their gradient and their Jacobian (environment_vectors.py).
//
// The neighbors of a center are sorted by element. All triplets of one pair of elements are written side by side and
// evaluated a full vector of them at once: a power for each angle, an exponential for each distance, and one
// multiplication for each of their products. Each center writes to its own row and its own pairs, so nothing depends
// on the number of threads.
#include <utility>

#include "by_element.hpp"
#include "centers.hpp"

template <typename T>
struct Problem {
    index_t atoms, kinds;
    const index_t *begins, *neighbors, *kind;
    const T* vectors;
    index_t radials, ranges, zetas, turns, shifts;
    const double *radial, *range, *zeta, *turn;
    const double* constants;  // outer and inner radius of either cutoff function, factors of radial terms and cosines
    index_t size = kinds * radials + kinds * (kinds + 1) / 2 * functions();
    index_t functions() const { return ranges * zetas * turns; }
};

// Neighbors of one center within a radius, with their cutoff function.
template <typename T>
struct Near : ByElement<T> {
    const Problem<T>& q;
    Cutoff<T> cutoff;
    T *f, *slope;  // slope: f'

    Near(const Problem<T>& q, const double* radii) : ByElement<T>(q.kinds), q(q), cutoff(1, radii) {}

    void gather(index_t i) {
        this->sort(q, i, cutoff.radius);
        for (index_t k = 0; k < this->first[q.kinds]; k += this->lanes) cutoff(at(this->r + k), at(f + k), at(slope + k));
    }
};

// What one thread needs to evaluate one center after the other.
template <typename T, Mode MODE>
struct Center {
    static constexpr int lanes = Lanes<T>::count, CHUNK = 32 * lanes;
    static constexpr int STREAMS = 8;
    using vec = Vec<T>;

    const Problem<T>& q;
    Near<T> wide, close;
    std::vector<char> memory;
    std::vector<int32_t> one, other;     // neighbors of each triplet
    T *cosine, *fj, *fk, *rj, *rk;       // of triplets; then slopes by j, by k, across
    T *by_j, *by_k, *across;
    T* gradient;                         // [3][width]: of close neighbors
    T* given;                            // gradient of each function, as [ranges][powers]
    vec *power, *turned, *total;         // powers, their slopes by the cosine, sums of functions
    index_t n = 0;                       // triplets
    T* slopes = nullptr;                 // [pairs][size][3]
    index_t start = 0;                   // first column of the block of two elements

    explicit Center(const Problem<T>& q) : q(q), wide(q, q.constants), close(q, q.constants + 2) {
        index_t most = 0;
        for (index_t i = 0; i < q.atoms; ++i) most = std::max(most, q.begins[i + 1] - q.begins[i]);
        const index_t width = (most / lanes + q.kinds + 1) * lanes, powers = q.zetas * q.turns;
        const index_t room = (CHUNK + width) / lanes * lanes + lanes, functions = (q.functions() / lanes + 1) * lanes;
        const index_t count = (14 + 3) * width + STREAMS * room + functions + (2 * powers + q.functions()) * lanes;
        memory.resize(count * sizeof(T) + 64);
        T* free = (T*)(((uintptr_t)memory.data() + 63) / 64 * 64);
        std::fill(free, free + count, T(1));
        auto take = [&](index_t some) { return std::exchange(free, free + some); };
        for (Near<T>* own : {&wide, &close}) {
            for (T** to : {&own->x, &own->y, &own->z, &own->r, &own->inverse, &own->f, &own->slope}) *to = take(width);
            own->pair.resize(width);
        }
        for (T** to : {&cosine, &fj, &fk, &rj, &rk, &by_j, &by_k, &across}) *to = take(room);
        gradient = take(3 * width), given = take(functions);
        power = (vec*)take(powers * lanes), turned = (vec*)take(powers * lanes);
        total = (vec*)take(q.functions() * lanes);
        one.resize(room), other.resize(room);
    }

    // row: values of the center, or their gradient, or nothing; made: gradients or slopes of all pairs
    void evaluate(index_t i, T* row, T* made) {
        const index_t each = MODE == JACOBIAN ? 3 * q.size : 3;
        if (MODE == VALUES) std::fill(row, row + q.size, T(0));
        if (MODE != VALUES) std::fill(made + each * q.begins[i], made + each * q.begins[i + 1], T(0));
        slopes = made;
        wide.gather(i);
        for (index_t a = 0; a < q.kinds; ++a) radial(a, a * q.radials, row, made);
        if (!q.functions()) return;
        close.gather(i);
        if (MODE == PULL) std::fill(gradient, gradient + 3 * close.first[q.kinds], T(0));
        start = q.kinds * q.radials;
        for (index_t a = 0; a < q.kinds; ++a)
            for (index_t b = a; b < q.kinds; ++b, start += q.functions()) triplets(a, b, MODE == JACOBIAN ? nullptr : row + start);
        if (MODE == PULL)
            for (index_t a = 0; a < q.kinds; ++a)
                for (index_t k = close.first[a]; k < close.last[a]; ++k)
                    for (int d = 0; d < 3; ++d) made[3 * close.pair[k] + d] += gradient[3 * k + d];
    }

    T* slope_of(index_t pair, index_t column) const { return slopes + 3 * (pair * q.size + column); }

    // column: the first of this element's
    void radial(index_t a, index_t column, T* row, T* made) {
        const Near<T>& w = wide;
        const T weight = q.constants[4];
        auto put = [&](index_t k, const vec& along, auto&& place) {
            for (index_t l = k; l < std::min(k + lanes, w.last[a]); ++l) {
                T* to = place(w.pair[l]);
                to[0] = along[l - k] * w.x[l], to[1] = along[l - k] * w.y[l], to[2] = along[l - k] * w.z[l];
            }
        };
        for (index_t k = w.first[a]; k < w.first[a + 1] && MODE != VALUES; k += lanes) {
            const vec r = at(w.r + k), f = at(w.f + k), slope = at(w.slope + k), scale = weight * at(w.inverse + k);
            vec along = {};
            for (index_t s = 0; s < q.radials; ++s) {
                const T eta = q.radial[2 * s], shift = q.radial[2 * s + 1];
                const vec u = r - shift, g = exponential<T>(-eta * u * u), own = g * (slope - 2 * eta * u * f);
                if (MODE == JACOBIAN) put(k, own * scale, [&](index_t p) { return slope_of(p, column + s); });
                if (MODE == PULL) along += own * row[column + s];
            }
            if (MODE == PULL) put(k, along * scale, [&](index_t p) { return made + 3 * p; });
        }
        for (index_t s = 0; s < q.radials && MODE == VALUES && w.first[a] < w.last[a]; ++s) {
            const T eta = q.radial[2 * s], shift = q.radial[2 * s + 1];
            vec value = {};
            for (index_t k = w.first[a]; k < w.first[a + 1]; k += lanes) {
                const vec u = at(w.r + k) - shift;
                value += exponential<T>(-eta * u * u) * at(w.f + k);
            }
            row[column + s] = weight * sum<T>(value);
        }
    }

    // Column of a function in its block: eta, zeta, shift, angle, the last fastest.
    index_t column(index_t range, index_t zeta, index_t turn) const {
        return ((range / q.shifts * q.zetas + zeta) * q.shifts + range % q.shifts) * q.turns + turn;
    }

    template <typename F>
    INLINE void each_function(F&& use) {
        for (index_t r = 0, m = 0; r < q.ranges; ++r)
            for (index_t z = 0; z < q.zetas; ++z)
                for (index_t t = 0; t < q.turns; ++t, ++m) use(m, column(r, z, t));
    }

    // Enumerates the triplets of two elements' neighbors.
    void triplets(index_t a, index_t b, T* row) {
        const Near<T>& w = close;
        if (w.last[a] - w.first[a] == 0 || w.last[b] - w.first[b] < (a == b ? 2 : 1)) return;
        if (MODE == PULL) each_function([&](index_t m, index_t column) { given[m] = row[column]; });
        if (MODE == VALUES) std::fill(total, total + q.functions(), vec{});
        for (index_t j = w.first[a]; j < w.last[a]; ++j) {
            const index_t begin = a == b ? j + 1 : w.first[b], count = w.last[b] - begin;
            const T xj = w.x[j] * w.inverse[j], yj = w.y[j] * w.inverse[j], zj = w.z[j] * w.inverse[j];
            const T *x = w.x + begin, *y = w.y + begin, *z = w.z + begin, *inverse = w.inverse + begin;
#pragma omp simd
            for (index_t k = 0; k < count; ++k) {
                cosine[n + k] = (x[k] * xj + y[k] * yj + z[k] * zj) * inverse[k];
                fj[n + k] = w.f[j], fk[n + k] = w.f[begin + k];
                rj[n + k] = w.r[j], rk[n + k] = w.r[begin + k];
            }
            for (index_t k = 0; k < count && MODE != VALUES; ++k) one[n + k] = j, other[n + k] = begin + k;
            n += count;
            if (n > CHUNK) flush();
        }
        if (n) flush();
        if (MODE == VALUES) each_function([&](index_t m, index_t column) { row[column] = sum<T>(total[m]); });
    }

    // Evaluates the triplets that were written down.
    __attribute__((noinline)) void flush() {
        const index_t whole = (n + lanes - 1) / lanes * lanes;
        for (index_t t = n; t < whole; ++t) cosine[t] = fj[t] = fk[t] = 0, rj[t] = rk[t] = 1;
        for (index_t t = 0; t < whole; t += lanes) block(t);
        for (index_t t = 0; t < n && MODE == PULL; ++t) {
            const index_t j = one[t], k = other[t];
            add(j, k, by_j[t], by_k[t], across[t], gradient + 3 * j, gradient + 3 * k);
        }
        n = 0;
    }

    // Adds a triplet's slopes to those of its two pairs.
    INLINE void add(index_t j, index_t k, T by_j, T by_k, T across, T* to, T* too) {
        const Near<T>& w = close;
        to[0] += by_j * w.x[j] + across * w.x[k], too[0] += by_k * w.x[k] + across * w.x[j];
        to[1] += by_j * w.y[j] + across * w.y[k], too[1] += by_k * w.y[k] + across * w.y[j];
        to[2] += by_j * w.z[j] + across * w.z[k], too[2] += by_k * w.z[k] + across * w.z[j];
    }

    // base^exponent
    INLINE static vec raised(vec base, double exponent) {
        if (exponent != std::floor(exponent) || exponent > 1e6) {
            const vec low = spread<T>(1e-30);
            return exponential<T>(logarithm<T>(base > low ? base : low) * (T)exponent);
        }
        vec value = spread<T>(1);
        for (int64_t left = exponent; left; left >>= 1, base *= base)
            if (left & 1) value *= base;
        return value;
    }

    INLINE void powers(const vec& cosine) {
        const T shrink = q.constants[5];
        const vec zero = {}, c = cosine * shrink, square = 1 - c * c;
        vec s;
        for (int l = 0; l < lanes; ++l) s[l] = std::sqrt(square[l]);
        const vec tangent = c / s;
        for (index_t z = 0; z < q.zetas; ++z)
            for (index_t t = 0; t < q.turns; ++t) {
                const T ct = q.turn[2 * t], st = q.turn[2 * t + 1], zeta = q.zeta[z];
                vec base = (1 + c * ct + s * st) * (T)0.5;
                base = base > zero ? base : zero;
                const vec lower = raised(base, q.zeta[z] - 1);
                power[z * q.turns + t] = 2 * lower * base;
                if (MODE != VALUES) turned[z * q.turns + t] = (zeta * shrink) * lower * (ct - tangent * st);
            }
    }

    INLINE void block(index_t t) {
        const vec ri = at(rj + t), ro = at(rk + t), cj = at(fj + t), ck = at(fk + t), cut = cj * ck;
        const vec middle = (ri + ro) * (T)0.5, c = at(cosine + t);
        powers(c);
        const index_t count = q.zetas * q.turns;
        vec dj = {}, dk = {}, f;  // slopes of the cutoff functions
        if (MODE != VALUES) close.cutoff(ri, f, dj), close.cutoff(ro, f, dk);
        const vec ij = 1 / ri, ik = 1 / ro, half = cut * (T)0.5;
        // of a function's value and its slopes by the mean distance and by the cosine, all without cutoff functions
        auto ends = [&](const vec& value, const vec& stretch, const vec& turn, vec& j, vec& k, vec& both) {
            const vec side = turn * cut;
            j = (value * dj * ck + stretch * half) * ij - side * c * ij * ij;
            k = (value * dk * cj + stretch * half) * ik - side * c * ik * ik;
            both = side * ij * ik;
        };
        vec value = {}, stretch = {}, turn = {}, j, k, both;
        for (index_t s = 0; s < q.ranges; ++s) {
            const T eta = q.range[2 * s], shift = q.range[2 * s + 1];
            const vec u = middle - shift, g = exponential<T>(-eta * u * u), fall = (-2 * eta) * u * g;
            if (MODE == VALUES) {
                const vec weight = g * cut;
                for (index_t p = 0; p < count; ++p) total[s * count + p] += weight * power[p];
            }
            if (MODE == PULL) {
                vec own = {}, aside = {};
                for (index_t p = 0; p < count; ++p) {
                    own += given[s * count + p] * power[p];
                    aside += given[s * count + p] * turned[p];
                }
                value += g * own, stretch += fall * own, turn += g * aside;
            }
            for (index_t p = 0; p < count && MODE == JACOBIAN; ++p) {
                ends(g * power[p], fall * power[p], g * turned[p], j, k, both);
                each_pair(t, start + column(s, p / q.turns, p % q.turns), j, k, both);
            }
        }
        if (MODE != PULL) return;
        ends(value, stretch, turn, j, k, both);
        at(by_j + t) = j, at(by_k + t) = k, at(across + t) = both;
    }

    // Adds slopes of one column by a vector of triplets.
    INLINE void each_pair(index_t t, index_t column, const vec& by_j, const vec& by_k, const vec& both) {
        for (index_t l = 0; l < std::min<index_t>(lanes, n - t); ++l) {
            const index_t j = one[t + l], k = other[t + l];
            add(j, k, by_j[l], by_k[l], both[l], slope_of(close.pair[j], column), slope_of(close.pair[k], column));
        }
    }
};

#define PROBLEM(T)                                                                                                  \
    index_t atoms, index_t kinds, const index_t *begins, const index_t *neighbors, const index_t *kind,             \
        const T *vectors, index_t radials, index_t ranges, index_t zetas, index_t turns, index_t shifts,            \
        const double *radial, const double *range, const double *zeta, const double *turn, const double *constants
#define GIVEN(T)                                                                                                    \
    Problem<T> {                                                                                                    \
        atoms, kinds, begins, neighbors, kind, vectors, radials, ranges, zetas, turns, shifts, radial, range, zeta, \
            turn, constants                                                                                         \
    }

SWEEPS(f32, float)
SWEEPS(f64, double)
