// Chebyshev expansions of radial and angular distributions, their gradient and their Jacobian (chebyshev_sums.py).
//
// Neighbors stand in lanes, those within the angular cutoff first. A polynomial of the angle between two of them is a sum
// of products of harmonics, so that only each neighbor's product with the density of all is needed.
#include "centers.hpp"
#include "harmonics.hpp"

template <typename T>
struct Problem {
    index_t atoms, kinds, size, sums, radial, angular;  // radial, angular: numbers of polynomials
    const index_t *begins, *neighbors, *kind;
    const T* vectors;
    double cutoff, angular_cutoff;
    const double *weights, *degrees;  // of elements in each sum [sums, kinds]; of Sum_m Y_lm^2 in T_a [angular, angular]
};

template <typename T, Mode MODE>
struct Center {
    typedef Vec<T> V;
    static constexpr index_t lanes = Lanes<T>::count;
    const Problem<T>& q;
    const Harmonics<T> shapes;
    const Cutoff<T> outer, inner;
    index_t width, columns, blocks = 0, near = 0;  // columns: of a sum; near: blocks within the angular cutoff
    std::vector<index_t> pair;
    std::vector<char> memory;
    std::vector<T> density, power;  // [sums, width], [sums, angular]
    V *place, *weight, *totals, *shares, *y, *scratch, *mixed;  // place: unit vector, 1/r, r of each block
    static constexpr index_t FIELDS = 5;

    explicit Center(const Problem<T>& q)
        : q(q), shapes(q.angular - 1), outer(1, std::vector<double>{q.cutoff, 0}.data()),
          inner(1, std::vector<double>{q.angular_cutoff, 0}.data()), width(shapes.width), columns(q.radial + q.angular),
          density(q.sums * width), power(q.sums * q.angular) {
        index_t most = 0;
        for (index_t i = 0; i < q.atoms; ++i) most = std::max(most, q.begins[i + 1] - q.begins[i]);
        const index_t many = most / lanes + 2;
        pair.resize(many * lanes);
        const index_t work = q.sums * columns + 3 * q.angular;
        memory.resize((many * (FIELDS + q.sums) + work + q.sums * width + 2 * width + shapes.room + 1) * sizeof(V));
        V* next = (V*)(((uintptr_t)memory.data() + 63) / 64 * 64);
        auto take = [&](index_t n) { V* begin = next; return next += n, begin; };
        place = take(many * FIELDS), weight = take(many * q.sums), totals = take(work);
        shares = take(q.sums * width), y = take(width), mixed = take(width), scratch = take(shapes.room);
    }

    void gather(index_t i) {
        const T ends[2] = {(T)(q.angular_cutoff * q.angular_cutoff), (T)(q.cutoff * q.cutoff)};
        blocks = 0;
        for (int part = 0; part < 2; ++part) {
            index_t lane = lanes;
            for (index_t p = q.begins[i]; p < q.begins[i + 1]; ++p) {
                const T *v = q.vectors + 3 * p, square = v[0] * v[0] + v[1] * v[1] + v[2] * v[2];
                if (!(square < ends[part]) || (part && square < ends[0])) continue;
                if (lane == lanes) {
                    lane = 0, std::fill_n(pair.begin() + blocks * lanes, lanes, -1);
                    V* own = place + FIELDS * blocks;
                    own[0] = own[1] = V{}, own[2] = spread<T>(q.cutoff);
                    std::fill((T*)(weight + q.sums * blocks), (T*)(weight + q.sums * (blocks + 1)), T(0));
                    ++blocks;
                }
                const index_t block = blocks - 1;
                for (index_t k = 0; k < 3; ++k) place[FIELDS * block + k][lane] = v[k];
                for (index_t s = 0; s < q.sums; ++s)
                    weight[q.sums * block + s][lane] = q.weights[s * q.kinds + q.kind[q.neighbors[p]]];
                pair[block * lanes + lane++] = p;
            }
            if (!part) near = blocks;
        }
        for (index_t b = 0; b < blocks; ++b) {
            V* own = place + FIELDS * b;
            const V square = own[0] * own[0] + own[1] * own[1] + own[2] * own[2];
            for (index_t l = 0; l < lanes; ++l) own[4][l] = std::sqrt(square[l]);
            own[3] = 1 / own[4];
            for (index_t k = 0; k < 3; ++k) own[k] *= own[3];
        }
    }

    // each(a, value, slope) of every radial polynomial times the cutoff function.
    template <typename Each>
    INLINE void radial(const V& r, Each each) const {
        V cut, fall;
        outer(r, cut, fall);
        const T scale = 2 / q.cutoff;
        const V x = r * scale - 1;
        V now = spread<T>(1), before = x, rise = {}, rise_before = spread<T>(1);  // before: T_-1 = T_1
        for (index_t a = 0; a < q.radial; ++a) {
            each(a, now * cut, rise * scale * cut + now * fall);
            const V next = a ? 2 * x * now - before : x, rising = a ? 2 * (now + x * rise) - rise_before : spread<T>(1);
            before = now, now = next, rise_before = rise, rise = rising;
        }
    }

    // Sums of the neighbors' harmonics, and if `alone` is given of their squared shares.
    void sum(V* alone) {
        std::fill((T*)shares, (T*)(shares + q.sums * width), T(0));
        for (index_t b = 0; b < near; ++b) {
            const V* own = place + FIELDS * b;
            V cut, fall;
            inner(own[4], cut, fall);
            shapes.evaluate(own, false, scratch, y);
            for (index_t s = 0; s < q.sums; ++s) {
                const V share = weight[q.sums * b + s] * cut;
                if (alone) alone[s] += share * share;
                for (index_t k = 0; k < width; ++k) shares[s * width + k] += share * y[k];
            }
        }
        for (index_t k = 0; k < q.sums * width; ++k) density[k] = ::sum<T>(shares[k]);
    }

    void evaluate(index_t i, T* row, T* made) {
        gather(i);
        if (MODE == VALUES) return values(row);
        const index_t own = MODE == PULL ? 3 : 3 * q.size;
        std::fill(made + own * q.begins[i], made + own * q.begins[i + 1], T(0));
        sum(nullptr);
        if (MODE == PULL) weigh(row);
        for (index_t b = 0; b < blocks; ++b) MODE == PULL ? pull(b, row, made) : slopes(b, made);
    }

    void values(T* row) {
        std::fill((T*)totals, (T*)(totals + q.sums * columns), T(0));
        for (index_t b = 0; b < blocks; ++b)
            radial(place[FIELDS * b + 4], [&](index_t a, const V& value, const V&) {
                for (index_t s = 0; s < q.sums; ++s) totals[s * columns + a] += weight[q.sums * b + s] * value;
            });
        V alone[2] = {};
        sum(alone);
        for (index_t s = 0; s < q.sums; ++s, row += columns) {
            const T self = ::sum<T>(alone[s]);
            for (index_t a = 0; a < q.radial; ++a) row[a] = ::sum<T>(totals[s * columns + a]);
            for (index_t a = 0; a < q.angular; ++a) {
                T total = 0;
                for (index_t l = 0; l < q.angular; ++l) {
                    T square = 0;
                    for (index_t k = l * l; k < (l + 1) * (l + 1); ++k)
                        square += density[s * width + k] * density[s * width + k];
                    total += (T)q.degrees[a * q.angular + l] * (square - self * (T)(2 * l + 1));
                }
                row[q.radial + a] = total / 2;
            }
        }
    }

    // From derivatives by the features, those by Sum_m Y_lm^2 / 2 (power), and by the densities (in their place).
    void weigh(const T* row) {
        for (index_t s = 0; s < q.sums; ++s)
            for (index_t l = 0; l < q.angular; ++l) {
                T total = 0;
                for (index_t a = 0; a < q.angular; ++a)
                    total += row[s * columns + q.radial + a] * (T)q.degrees[a * q.angular + l];
                power[s * q.angular + l] = total;
                for (index_t k = l * l; k < (l + 1) * (l + 1); ++k) density[s * width + k] *= total;
            }
    }

    void pull(index_t b, const T* row, T* made) {
        const V *own = place + FIELDS * b, *weights = weight + q.sums * b;
        V along = {}, turn[3] = {};
        radial(own[4], [&](index_t a, const V&, const V& slope) {
            V given = {};
            for (index_t s = 0; s < q.sums; ++s) given += weights[s] * row[s * columns + a];
            along += given * slope;
        });
        if (b < near) {
            V cut, fall, inward = {};
            inner(own[4], cut, fall);
            shapes.evaluate(own, true, scratch, y);
            std::fill((T*)mixed, (T*)(mixed + width), T(0));
            for (index_t s = 0; s < q.sums; ++s) {
                T self = 0;
                for (index_t l = 0; l < q.angular; ++l) self += power[s * q.angular + l] * (T)(2 * l + 1);
                for (index_t k = 0; k < width; ++k) mixed[k] += weights[s] * density[s * width + k];
                inward -= weights[s] * weights[s] * cut * self;
            }
            for (index_t k = 0; k < width; ++k) inward += mixed[k] * y[k];
            along += fall * inward;
            shapes.gradient(own, scratch, mixed, 0, shapes.degrees, turn);
            for (index_t c = 0; c < 3; ++c) turn[c] *= cut;
        }
        const V inward = turn[0] * own[0] + turn[1] * own[1] + turn[2] * own[2];
        for (index_t c = 0; c < 3; ++c) write(b, along * own[c] + (turn[c] - inward * own[c]) * own[3], made, 3, c);
    }

    void slopes(index_t b, T* made) {
        const V *own = place + FIELDS * b, *weights = weight + q.sums * b;
        radial(own[4], [&](index_t a, const V&, const V& slope) {
            for (index_t s = 0; s < q.sums; ++s)
                for (index_t c = 0; c < 3; ++c)
                    write(b, weights[s] * slope * own[c], made, 3 * q.size, (s * columns + a) * 3 + c);
        });
        if (b >= near) return;
        V cut, fall;
        inner(own[4], cut, fall);
        shapes.evaluate(own, true, scratch, y);
        for (index_t s = 0; s < q.sums; ++s) {
            V* parts = totals;  // of each degree, by x, y, z
            for (index_t l = 0; l < q.angular; ++l, parts += 3) {
                V value = -weights[s] * cut * (T)(2 * l + 1), turn[3] = {};
                for (index_t k = l * l; k < (l + 1) * (l + 1); ++k) {
                    mixed[k] = spread<T>(density[s * width + k]);
                    value += mixed[k] * y[k];
                }
                shapes.gradient(own, scratch, mixed, l, l + 1, turn);
                const V inward = turn[0] * own[0] + turn[1] * own[1] + turn[2] * own[2];
                for (index_t c = 0; c < 3; ++c)
                    parts[c] = weights[s] * (fall * value * own[c] + cut * (turn[c] - inward * own[c]) * own[3]);
            }
            for (index_t a = 0; a < q.angular; ++a)
                for (index_t c = 0; c < 3; ++c) {
                    V total = {};
                    for (index_t l = 0; l < q.angular; ++l) total += totals[3 * l + c] * (T)q.degrees[a * q.angular + l];
                    write(b, total, made, 3 * q.size, (s * columns + q.radial + a) * 3 + c);
                }
        }
    }

    INLINE void write(index_t b, const V& value, T* made, index_t stride, index_t column) const {
        for (index_t l = 0; l < lanes; ++l)
            if (pair[b * lanes + l] >= 0) made[pair[b * lanes + l] * stride + column] = value[l];
    }
};

#define PROBLEM(T)                                                                                                   \
    index_t atoms, index_t kinds, index_t size, index_t sums, index_t radial, index_t angular, const index_t *begins, \
        const index_t *neighbors, const index_t *kind, const T *vectors, double cutoff, double angular_cutoff,       \
        const double *weights, const double *degrees
#define GIVEN(T)                                                                                                \
    Problem<T> {                                                                                                \
        atoms, kinds, size, sums, radial, angular, begins, neighbors, kind, vectors, cutoff, angular_cutoff,    \
            weights, degrees                                                                                    \
    }

SWEEPS(f32, float)
SWEEPS(f64, double)
