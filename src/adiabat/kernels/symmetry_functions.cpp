// Atom-centered symmetry functions, their gradient and their Jacobian (symmetry_functions.py).
//
// The neighbors of a center are sorted by element. Triplets of one pair of elements, or of all neighbors in functions
// that weigh them, are enumerated eight or sixteen at a time, those within the cutoffs are packed side by side, and
// every full vector of them is evaluated at once.
// Each center writes to its own row and its own pairs, so nothing depends on the number of threads.
#include <limits>
#include <utility>

#include "by_element.hpp"
#include "centers.hpp"
#include "chosen_lanes.hpp"
#include "windows.hpp"

struct Radial {
    int32_t cutoff, feature;
};
struct Pass {  // triplets of one center element and one pair of neighbor elements, or all, with one window
    int32_t cutoff, wide, angles, ops, ops_end, groups, groups_end, functions, functions_end;
};
struct Op {  // a further power of h = (1 + cos)/2 or l = (1 - cos)/2: a product of two, or one to a power
    int32_t raise, a, b;
};
struct Group {  // functions that share eta and shift: those of h, then those of l
    int32_t functions, middle, end;
};
struct Function {
    int32_t slot, feature;  // slot: the power zeta - 1, or the window of the angle
};

template <typename T>
struct Problem {
    index_t atoms, kinds, size;
    const index_t *begins, *neighbors, *kind;
    const T* vectors;
    index_t classes, slots, widest, angles;  // widest: functions of the largest pass
    const Window *windows, *turns;           // of the classes' distances; of angles
    const double *ends, *turn_ends, *weights;  // weights: [classes][kinds]
    const int32_t* radial_begins;
    const Radial* radials;
    const double* radial_values;  // eta, shift, kappa
    const int32_t* pass_begins;
    const Pass* passes;
    const Op* ops;
    const double* exponents;
    const Group* groups;
    const double* group_values;
    const Function* functions;
    const double* zetas;
    const T *shift, *factor;
};

// What one thread needs to evaluate one center after the other.
template <typename T, Mode MODE>
struct Center : ByElement<T> {
    using ByElement<T>::x, ByElement<T>::y, ByElement<T>::z, ByElement<T>::r, ByElement<T>::inverse;
    using ByElement<T>::pair, ByElement<T>::first, ByElement<T>::last;
    static constexpr int lanes = Lanes<T>::count, CHUNK = 32 * lanes, ROOM = CHUNK + lanes;
    static constexpr int STREAMS = MODE == VALUES ? 5 : 10;
    using vec = Vec<T>;
    struct Span {  // of places for neighbors; those that fill up are out of reach
        index_t begin, end;
    };
    struct Record {
        int32_t j, k, offset;
        Chosen<T> chosen;
    };

    const Problem<T>& q;
    index_t width, sets;             // width: places for neighbors; sets: gradients side by side
    std::vector<char> memory;
    std::vector<Shape<T>> cutoffs, turns;
    std::vector<Record> records;
    T *f, *slope;                            // of neighbors; slope: f'/r
    T *gradient;                             // [sets][4][width]: along the neighbor, and x, y, z
    T *stream[STREAMS], *out;                // of packed triplets; out: [sets][3][ROOM]
    vec *power, *total;
    T* given;  // the gradient of each function
    T largest = 0;
    index_t n = 0;  // packed triplets

    explicit Center(const Problem<T>& q) : ByElement<T>(q.kinds), q(q) {
        index_t most = 0;
        for (index_t i = 0; i < q.atoms; ++i) most = std::max(most, q.begins[i + 1] - q.begins[i]);
        width = (most / lanes + q.kinds + 1) * lanes;
        sets = MODE == JACOBIAN ? std::max<index_t>(q.widest, 1) : 1;
        const index_t wide = (q.widest / lanes + 1) * lanes;
        const index_t count = (5 + 2 * q.classes + 4 * sets) * width + (STREAMS + 3 * sets) * ROOM +
                              (q.slots + q.widest) * lanes + wide;
        memory.resize(count * sizeof(T) + 64);
        T* at = (T*)(((uintptr_t)memory.data() + 63) / 64 * 64);
        std::fill(at, at + count, T(1));
        auto take = [&](index_t some) { return std::exchange(at, at + some); };
        for (T** own : {&x, &y, &z, &r, &inverse}) *own = take(width);
        f = take(q.classes * width), slope = take(q.classes * width), gradient = take(4 * sets * width);
        for (T*& own : stream) own = take(ROOM);
        out = take(3 * sets * ROOM);
        power = (vec*)take(q.slots * lanes), total = (vec*)take(q.widest * lanes), given = take(wide);
        pair.resize(width);
        for (index_t c = 0; c < q.classes; ++c) {
            cutoffs.emplace_back(q.windows[c], q.ends + 2 * c);
            largest = std::max(largest, cutoffs.back().radius);
        }
        for (index_t c = 0; c < q.angles; ++c) turns.emplace_back(q.turns[c], q.turn_ends + 2 * c);
    }

    void gather(index_t i) {
        this->sort(q, i, largest);
        for (index_t c = 0; c < q.classes; ++c)
            for (index_t a = 0; a < q.kinds; ++a)
                for (index_t k = first[a]; k < first[a + 1]; k += lanes) {
                    vec &own = at(f + c * width + k), &steep = at(slope + c * width + k);
                    const T weight = q.weights[c * q.kinds + a];
                    cutoffs[c](at(r + k), own, steep);
                    own *= weight, steep *= weight * at(inverse + k);
                }
    }

    // row: values of the center, or their gradient; made: the gradient or Jacobian of all pairs
    void evaluate(index_t i, T* row, T* made) {
        gather(i);
        const index_t e = q.kind[i], blocks = q.kinds * (q.kinds + 1) / 2;
        if (MODE == VALUES) std::fill(row, row + q.size, T(0));
        const index_t per = MODE == JACOBIAN ? 3 * q.size : 3;
        if (MODE != VALUES) std::fill(made + q.begins[i] * per, made + q.begins[i + 1] * per, T(0));
        if (MODE == PULL) std::fill(gradient, gradient + 4 * width, T(0));
        const Span all{0, first[q.kinds]};
        for (index_t a = 0; a < q.kinds; ++a) radial(e, e * (q.kinds + 1) + a, {first[a], last[a]}, row, made);
        radial(e, e * (q.kinds + 1) + q.kinds, all, row, made);
        const int32_t* begin = q.pass_begins + e * (blocks + 1);
        for (index_t a = 0; a < q.kinds; ++a)
            for (index_t b = a; b < q.kinds; ++b, ++begin)
                for (int32_t p = begin[0]; p < begin[1]; ++p)
                    triplets(e, {first[a], last[a]}, {first[b], last[b]}, q.passes[p], row, made);
        for (int32_t p = begin[0]; p < begin[1]; ++p) triplets(e, all, all, q.passes[p], row, made);
        if (MODE == PULL)
            for (index_t a = 0; a < q.kinds; ++a)
                for (index_t k = first[a]; k < last[a]; ++k) write(gradient, k, 1, made + 3 * pair[k]);
        if (MODE == VALUES)
            for (index_t m = 0; m < q.size; ++m) row[m] = (row[m] - q.shift[e * q.size + m]) * q.factor[e * q.size + m];
    }

    INLINE void write(const T* own, index_t k, T factor, T* to) const {
        to[0] = factor * (own[k] * x[k] + own[width + k]);
        to[1] = factor * (own[k] * y[k] + own[2 * width + k]);
        to[2] = factor * (own[k] * z[k] + own[3 * width + k]);
    }

    void radial(index_t e, index_t block, Span near, T* row, T* made) {
        if (near.begin == near.end) return;
        for (int32_t s = q.radial_begins[block]; s < q.radial_begins[block + 1]; ++s) {
            const Radial& own = q.radials[s];
            const T eta = q.radial_values[3 * s], shift = q.radial_values[3 * s + 1], kappa = q.radial_values[3 * s + 2];
            const T *cut = f + own.cutoff * width, *steep = slope + own.cutoff * width;
            const T factor = q.factor[e * q.size + own.feature], radius = cutoffs[own.cutoff].radius;
            vec value = {};
            for (index_t k = near.begin; k < near.end; k += lanes) {
                const vec u = at(r + k) - shift;
                vec g = eta != 0 ? exponential<T>(-eta * u * u) : spread<T>(1), rate = -2 * eta * u * g;
                if (kappa != 0) {
                    vec cosine, sine;
                    wave<T>(kappa * at(r + k), cosine, sine);
                    rate = rate * cosine - g * kappa * sine, g *= cosine;
                }
                if (MODE == VALUES) {
                    value += g * at(cut + k);
                    continue;
                }
                const vec along = g * at(steep + k) + rate * at(cut + k) * at(inverse + k);
                if (MODE == PULL) at(gradient + k) += row[own.feature] * factor * along;
                if (MODE == JACOBIAN)
                    for (index_t l = k; l < k + lanes; ++l)
                        if (r[l] < radius) {
                            T* to = made + 3 * (pair[l] * q.size + own.feature);
                            const T scaled = along[l - k] * factor;
                            to[0] = scaled * x[l], to[1] = scaled * y[l], to[2] = scaled * z[l];
                        }
            }
            if (MODE == VALUES) row[own.feature] = sum<T>(value);
        }
    }

    // Enumerates and packs the triplets of two elements' neighbors, or of all with all.
    void triplets(index_t e, Span one, Span other, const Pass& pass, T* row, T* made) {
        const bool same = one.begin == other.begin;
        if (one.begin == one.end || other.end - other.begin < (same ? 2 : 1)) return;
        const T radius = cutoffs[pass.cutoff].radius, left = std::max<T>(cutoffs[pass.cutoff].left, 0);
        const T *cut = f + pass.cutoff * width, *steep = slope + pass.cutoff * width;
        const vec start = spread<T>(left), end = spread<T>(radius), limit = spread<T>(radius * radius);
        const vec far = pass.wide ? spread<T>(1e30) : limit, near = pass.wide ? vec{} : spread<T>(left * left);
        const int32_t count = pass.functions_end - pass.functions;
        if (MODE == VALUES) std::fill(total, total + count, vec{});
        for (int32_t m = 0; m < count && MODE != VALUES; ++m) {
            const int32_t feature = q.functions[pass.functions + m].feature;
            given[m] = (pass.angles ? 1 : 2) * q.factor[e * q.size + feature] * (MODE == PULL ? row[feature] : 1);
        }
        if (MODE == JACOBIAN) std::fill(gradient, gradient + 4 * width * count, T(0));
        vec lane;
        for (int l = 0; l < lanes; ++l) lane[l] = l;
        for (index_t j = one.begin; j < one.end; ++j) {
            if (!(r[j] < radius && r[j] > left)) continue;
            const index_t begin = same ? j + 1 : other.begin;
            for (index_t k = begin / lanes * lanes; k < other.end; k += lanes) {
                const vec rk = at(r + k), dx = at(x + k) - x[j], dy = at(y + k) - y[j], dz = at(z + k) - z[j];
                const vec d = dx * dx + dy * dy + dz * dz, place = lane + (T)(k - begin);
                const Chosen<T> chosen((d < far) & (d >= near) & (rk < end) & (rk > start) & (place >= vec{}));
                if (!chosen.bits) continue;
                const vec dot = at(x + k) * x[j] + at(y + k) * y[j] + at(z + k) * z[j];
                const vec own[10] = {dot * at(inverse + k) * inverse[j], d, vec{} + r[j], rk,
                                     MODE == VALUES ? at(cut + k) * cut[j] : vec{} + cut[j], at(cut + k),
                                     vec{} + steep[j], at(steep + k), vec{} + inverse[j], at(inverse + k)};
#pragma GCC unroll 10
                for (int s = 0; s < STREAMS; ++s) chosen.put(stream[s] + n, own[s]);
                if (MODE != VALUES) records.push_back({(int32_t)j, (int32_t)k, (int32_t)n, chosen});
                n += chosen.count();
                if (n > CHUNK - lanes) flush(pass);
            }
        }
        if (n) flush(pass);
        for (int32_t m = 0; m < count && MODE != PULL; ++m) {
            const int32_t feature = q.functions[pass.functions + m].feature;
            if (MODE == VALUES) row[feature] = (pass.angles ? 1 : 2) * sum<T>(total[m]);
            for (int side = 0; side < (MODE != JACOBIAN ? 0 : same ? 1 : 2); ++side)
                for (index_t k = (side ? other : one).begin; k < (side ? other : one).end; ++k)
                    if (r[k] < radius) write(gradient + 4 * width * m, k, 1, made + 3 * (pair[k] * q.size + feature));
        }
    }

    // Evaluates the packed triplets.
    __attribute__((noinline)) void flush(const Pass& pass) {
        const index_t whole = (n + lanes - 1) / lanes * lanes;
        if (MODE == VALUES) std::fill(stream[4] + n, stream[4] + whole, T(0));
        T* distance = stream[1];
#pragma omp simd
        for (index_t t = 0; t < whole; ++t) distance[t] = std::sqrt(distance[t]);
        for (index_t t = 0; t < whole; t += lanes) block(pass, t);
        if (MODE != VALUES)
            for (int32_t m = 0; m < (MODE == PULL ? 1 : pass.functions_end - pass.functions); ++m)
                scatter(out + 3 * ROOM * m, gradient + 4 * width * m);
        records.clear();
        n = 0;
    }

    INLINE void powers(const Pass& pass, const vec& cosine) {
        const vec zero = {}, h = (1 + cosine) * (T)0.5, l = (1 - cosine) * (T)0.5;
        power[0] = spread<T>(1), power[1] = h > zero ? h : zero, power[2] = l > zero ? l : zero;
        for (int32_t o = pass.ops; o < pass.ops_end; ++o) {
            const Op& op = q.ops[o];
            vec& to = power[3 + o - pass.ops];
            if (!op.raise)
                to = power[op.a] * power[op.b];
            else
                for (int l = 0; l < lanes; ++l) to[l] = std::pow(power[op.a][l], (T)q.exponents[o]);
        }
    }

    // The angle, and its slope by the cosine.
    INLINE void angle(const vec& cosine) {
        const T most = 1 - std::numeric_limits<T>::epsilon();
        vec own = cosine, sine;
        own = own > most ? spread<T>(most) : own;
        own = own < -most ? spread<T>(-most) : own;
        power[0] = arccosine<T>(own);
        for (int l = 0; l < lanes; ++l) sine[l] = std::sqrt(1 - own[l] * own[l]);
        power[1] = -1 / sine;
    }

    struct Sums {  // of the functions, over exp(...): value, by 2 eta, by 2 eta shift, by the cosine
        vec value = {}, wide = {}, shifted = {}, turn = {};
    };

    INLINE void block(const Pass& pass, index_t t) {
        const vec cosine = at(stream[0] + t), d = at(stream[1] + t), rj = at(stream[2] + t), rk = at(stream[3] + t);
        vec cut = spread<T>(1), steep_d = {}, near = rj * rj + rk * rk, inverse_d = {};
        if (!pass.wide) {
            cutoffs[pass.cutoff](d, cut, steep_d);
            near += d * d;
            if (MODE != VALUES) inverse_d = 1 / d, steep_d *= inverse_d;
        }
        pass.angles ? angle(cosine) : powers(pass, cosine);
        Sums sums;
        for (int32_t g = pass.groups; g < pass.groups_end; ++g) {
            const Group& group = q.groups[g];
            const T eta = q.group_values[2 * g], shift = q.group_values[2 * g + 1];
            vec squares = near;
            if (shift != 0) {
                const vec u = rj - shift, v = rk - shift, w = d - shift;
                squares = u * u + v * v;
                if (!pass.wide) squares += w * w;
            }
            const vec range = eta != 0 ? exponential<T>(-eta * squares) : spread<T>(1);
            if (pass.angles) {
                vec value = {}, turn = {};
                for (int32_t m = group.functions; m < group.end; ++m) {
                    vec own, steep;
                    turns[q.functions[m].slot](power[0], own, steep);
                    const int32_t place = m - pass.functions;
                    if constexpr (MODE == VALUES) {
                        total[place] += range * cut * at(stream[4] + t) * own;
                        continue;
                    }
                    own *= given[place], steep *= power[1] * given[place];
                    if (MODE == PULL) {
                        value += own, turn += steep;
                    } else {
                        Sums one;
                        add(one, range, own, steep, eta, shift);
                        finish(one, t, place, pass, cut, steep_d, inverse_d);
                    }
                }
                if (MODE == PULL) add(sums, range, value, turn, eta, shift);
            } else if constexpr (MODE == VALUES) {
                const vec weight = range * cut * at(stream[4] + t), h = weight * power[1], l = weight * power[2];
                for (int32_t m = group.functions; m < group.middle; ++m)
                    total[m - pass.functions] += h * power[q.functions[m].slot];
                for (int32_t m = group.middle; m < group.end; ++m)
                    total[m - pass.functions] += l * power[q.functions[m].slot];
            } else {
                vec value[2] = {}, turn[2] = {};
                for (int side = 0; side < 2; ++side)
                    for (int32_t m = side ? group.middle : group.functions; m < (side ? group.end : group.middle); ++m) {
                        const vec own = power[q.functions[m].slot] * given[m - pass.functions];
                        const T rate = (side ? -0.5 : 0.5) * q.zetas[m];
                        if (MODE == PULL)
                            value[side] += own, turn[side] += own * rate;
                        else {
                            Sums one;
                            add(one, range, own * power[1 + side], own * rate, eta, shift);
                            finish(one, t, m - pass.functions, pass, cut, steep_d, inverse_d);
                        }
                    }
                if (MODE == PULL)
                    add(sums, range, value[0] * power[1] + value[1] * power[2], turn[0] + turn[1], eta, shift);
            }
        }
        if (MODE == PULL) finish(sums, t, 0, pass, cut, steep_d, inverse_d);
    }

    INLINE static void add(Sums& sums, const vec& range, const vec& value, const vec& turn, T eta, T shift) {
        const vec own = range * value, scaled = own * (2 * eta);
        sums.value += own, sums.wide -= scaled, sums.shifted += scaled * shift, sums.turn += range * turn;
    }

    // Slopes by the two pair vectors: v_j (along_j) + v_k across, and v_k (along_k) + v_j across.
    INLINE void finish(const Sums& sums, index_t t, int32_t set, const Pass& pass, const vec& cut, const vec& steep,
                       const vec& inverse_d) {
        const vec fj = at(stream[4] + t), fk = at(stream[5] + t), sj = at(stream[6] + t), sk = at(stream[7] + t);
        const vec ij = at(stream[8] + t), ik = at(stream[9] + t), cosine = at(stream[0] + t);
        const vec turn = fj * fk * cut * sums.turn, angle = turn * cosine;
        vec side = {};
        if (!pass.wide) side = fj * fk * (steep * sums.value + cut * (sums.wide + sums.shifted * inverse_d));
        T* to = out + 3 * ROOM * set + t;
        at(to) = fk * cut * (sj * sums.value + fj * (sums.wide + sums.shifted * ij)) - angle * ij * ij + side;
        at(to + ROOM) = fj * cut * (sk * sums.value + fk * (sums.wide + sums.shifted * ik)) - angle * ik * ik + side;
        at(to + 2 * ROOM) = turn * ij * ik - side;
    }

    void scatter(const T* from, T* to) {
        T *along = to, *gx = to + width, *gy = gx + width, *gz = gy + width;
        for (size_t s = 0; s < records.size();) {
            const index_t j = records[s].j;
            const T xj = x[j], yj = y[j], zj = z[j];
            vec own = {}, ax = {}, ay = {}, az = {};
            for (; s < records.size() && records[s].j == j; ++s) {
                const Record& record = records[s];
                const index_t k = record.k;
                const vec across = record.chosen.get(from + 2 * ROOM + record.offset);
                own += record.chosen.get(from + record.offset);
                at(along + k) += record.chosen.get(from + ROOM + record.offset);
                ax += across * at(x + k), ay += across * at(y + k), az += across * at(z + k);
                at(gx + k) += across * xj, at(gy + k) += across * yj, at(gz + k) += across * zj;
            }
            along[j] += sum<T>(own), gx[j] += sum<T>(ax), gy[j] += sum<T>(ay), gz[j] += sum<T>(az);
        }
    }
};

#define LAYOUT                                                                                                    \
    index_t classes, index_t slots, index_t widest, index_t angles, const Window *windows, const Window *turns,   \
        const double *ends, const double *turn_ends, const double *weights,                                       \
        const int32_t *radial_begins, const Radial *radials, const double *radial_values,                         \
        const int32_t *pass_begins, const Pass *passes, const Op *ops, const double *exponents,                   \
        const Group *groups, const double *group_values, const Function *functions, const double *zetas
#define PROBLEM(T)                                                                                                \
    index_t atoms, index_t kinds, index_t size, const index_t *begins, const index_t *neighbors,                  \
        const index_t *kind, const T *vectors, LAYOUT, const T *shift, const T *factor
#define GIVEN(T)                                                                                                  \
    Problem<T> {                                                                                                  \
        atoms, kinds, size, begins, neighbors, kind, vectors, classes, slots, widest, angles, windows, turns,     \
            ends, turn_ends, weights, radial_begins, radials, radial_values, pass_begins, passes, ops, exponents, \
            groups, group_values, functions, zetas, shift, factor                                                 \
    }

SWEEPS(f32, float)
SWEEPS(f64, double)
