// Neighbors as points of the three-sphere, a vector of atoms at a time: rows of their Wigner matrices, the sums over
// neighbors, and slopes of both. Lane l of every vector is atom l of the block; its neighbors come one after the other,
// and lanes that have no more add zeros. Rows (q, m) of level j with 2q <= j are kept ("half order"), without norms while
// neighbors are summed, see nn/su2.py.
#pragma once
#include <cstring>

#include "lanes.hpp"

struct Shape {
    index_t atoms, kinds, channels, size, top, values, grads, width, switching;
    const index_t *begins, *neighbors, *kind;
    const double *options, *pairs, *weights, *own, *norms, *lone, *cg;
    const int32_t *channel, *blocks, *value_groups, *value_uses, *grad_groups, *grad_uses, *places, *place_begins;
    const double *value_factors, *grad_factors;
};

INLINE index_t half_begin(index_t j) {  // sum of (k/2+1)(k+1) below j
    index_t total = 0;
    for (index_t k = 0; k < j; ++k) total += (k / 2 + 1) * (k + 1);
    return total;
}

template <typename T>
struct Complex {
    Vec<T> r, i;
};

template <typename T>
struct SphereRows {
    typedef Complex<T> C;
    static constexpr int lanes = Lanes<T>::count;
    const Shape& s;
    const T* vectors;
    index_t half, first, count;  // count of atoms in this block
    std::vector<index_t> begin;  // of each level in the half order
    index_t* slots;              // [rows][lanes] pairs or -1, channel by channel
    std::vector<index_t> pairs, slot_begin;
    C *density, *rows, *bars, *tangents;  // whose memory is the caller's

    SphereRows(const Shape& s, const T* vectors) : s(s), vectors(vectors) {
        for (index_t j = 0; j <= s.top + 1; ++j) begin.push_back(half_begin(j));
        half = begin[s.top + 1];
    }

    index_t bytes() const { return s.channels * half * sizeof(C); }  // of a density

    // The neighbors of the block's atoms within their cutoffs, sorted by channel.
    void gather(index_t block) {
        first = block * lanes, count = std::min<index_t>(lanes, s.atoms - first);
        slot_begin.assign(1, 0), pairs.clear();
        for (index_t c = 0; c < s.channels; ++c) {
            const index_t base = slot_begin.back();
            index_t most = 0;
            for (index_t l = 0; l < count; ++l) {
                index_t n = 0;
                const index_t i = first + l;
                for (index_t p = s.begins[i]; p < s.begins[i + 1]; ++p) {
                    const index_t near = s.kind[s.neighbors[p]];
                    if (s.channel[near] != c) continue;
                    const T* v = vectors + 3 * p;
                    const double reach = s.pairs[3 * (s.kind[i] * s.kinds + near)];
                    const double square = (double)v[0] * v[0] + (double)v[1] * v[1] + (double)v[2] * v[2];
                    if (!(square < reach * reach)) continue;
                    if ((index_t)pairs.size() < (base + n + 1) * lanes) pairs.resize((base + n + 1) * lanes, -1);
                    pairs[(base + n++) * lanes + l] = p;
                }
                most = std::max(most, n);
            }
            slot_begin.push_back(base + most);
        }
        slots = pairs.data();
    }

    // What a neighbor's rows are made of.
    struct Place {
        C a, b;
        Vec<T> x, y, z, r, sine, cosine, turn, strength, slope;  // turn: dtheta/dr; slope: of the strength
    };

    INLINE Place place(index_t slot) const {
        Place n;
        alignas(64) T x[lanes], y[lanes], z[lanes], reach[lanes], weight[lanes], middle[lanes], inner[lanes];
        for (index_t l = 0; l < lanes; ++l) {
            const index_t p = slots[slot * lanes + l];
            x[l] = 0, y[l] = 0, z[l] = 1, reach[l] = 2, weight[l] = 0, middle[l] = -1, inner[l] = (T)1e-9;
            if (p < 0) continue;
            const index_t near = s.kind[s.neighbors[p]];
            const double* own = s.pairs + 3 * (s.kind[first + l] * s.kinds + near);
            x[l] = vectors[3 * p], y[l] = vectors[3 * p + 1], z[l] = vectors[3 * p + 2];
            reach[l] = own[0], middle[l] = own[1], inner[l] = std::max(own[2], 1e-9), weight[l] = s.weights[near];
        }
        n.x = at(x), n.y = at(y), n.z = at(z);
        const Vec<T> square = n.x * n.x + n.y * n.y + n.z * n.z;
        for (index_t l = 0; l < lanes; ++l) n.r[l] = std::sqrt(square[l]);
        const T start = s.options[1], quarter = M_PI / 2;
        const Vec<T> zero = {}, span = 1 / (at(reach) - start), u = (n.r - start) * span;
        n.turn = span * (T)(s.options[0] * M_PI);
        Vec<T> sine, cosine;
        sine_cosine<T>((n.r - start) * n.turn - quarter, sine, cosine);
        n.sine = cosine, n.cosine = -sine;
        Vec<T> value = spread<T>(1), slope = zero;
        if (s.switching & 1) {
            const Vec<T> inside = u < zero ? zero : u;
            sine_cosine<T>(inside * (T)M_PI - quarter, sine, cosine);
            value = (1 - sine) * (T)0.5;
            slope = u < zero ? zero : cosine * span * (T)(-0.5 * M_PI);
        }
        if (s.switching & 2) {
            const Vec<T> one = spread<T>(1), w = 1 / at(inner);
            const Vec<T> d = (n.r - at(middle)) * w, t = d < -one ? -one : d > one ? one : d;
            sine_cosine<T>(t * quarter, sine, cosine);
            const Vec<T> fade = (1 + sine) * (T)0.5, change = t == d ? cosine * w * (T)(0.25 * M_PI) : zero;
            slope = slope * fade + value * change, value = value * fade;
        }
        n.strength = value * at(weight), n.slope = slope * at(weight);
        const Vec<T> over = n.sine / n.r;
        n.a = {n.cosine, -over * n.z}, n.b = {over * n.y, -over * n.x};
        return n;
    }

    // out[m] = conj(a) in[m] - conj(b) in[m-1], or b in[m] + a in[m-1] in the middle row
    static INLINE void grow(const C& one, const C& two, const C* in, C* out, index_t j) {
        C last = {{}, {}};
        for (index_t m = 0; m < j; ++m) {
            const C v = in[m];
            out[m] = {one.r * v.r - one.i * v.i + last.r, one.r * v.i + one.i * v.r + last.i};
            last = {two.r * v.r - two.i * v.i, two.r * v.i + two.i * v.r};
        }
        out[j] = last;
    }

    INLINE void factors(const Place& n, index_t j, index_t q, C& one, C& two) const {
        if (2 * q == j)
            one = n.b, two = n.a;
        else
            one = {n.a.r, -n.a.i}, two = {-n.b.r, n.b.i};
    }

    INLINE index_t parent(index_t j, index_t q) const { return begin[j - 1] + (2 * q == j ? q - 1 : q) * j; }

    INLINE void recur(const Place& n) const {
        rows[0].r = n.strength, rows[0].i = Vec<T>{};
        for (index_t j = 1; j <= s.top; ++j)
            for (index_t q = 0; 2 * q <= j; ++q) {
                C one, two;
                factors(n, j, q, one, two);
                grow(one, two, rows + parent(j, q), rows + begin[j] + q * (j + 1), j);
            }
    }

    // Sums over neighbors, with norms and the atom's own part.
    void sum() {
        std::memset((void*)density, 0, s.channels * half * sizeof(C));
        for (index_t c = 0; c < s.channels; ++c) {
            C* u = density + c * half;
            for (index_t slot = slot_begin[c]; slot < slot_begin[c + 1]; ++slot) {
                recur(place(slot));
                for (index_t e = 0; e < half; ++e) u[e].r += rows[e].r, u[e].i += rows[e].i;
            }
            Vec<T> own = {};
            for (index_t l = 0; l < count; ++l) own[l] = s.own[s.kind[first + l] * s.channels + c];
            for (index_t e = 0; e < half; ++e) u[e].r *= (T)s.norms[e], u[e].i *= (T)s.norms[e];
            for (index_t j = 0; j <= s.top; ++j)
                for (index_t q = 0; 2 * q <= j; ++q) u[begin[j] + q * (j + 2)].r += own;
        }
    }

    // Slopes by the neighbor's position of a sum of rows times y, from the end of the recursion to its beginning.
    INLINE void back(const Place& n, const C* y, Vec<T>* slopes) const {
        std::memcpy((void*)bars, (const void*)y, half * sizeof(C));
        C by_a = {{}, {}}, by_b = {{}, {}};
        for (index_t j = s.top; j > 0; --j)
            for (index_t q = 0; 2 * q <= j; ++q) {
                C one, two, by_one = {{}, {}}, by_two = {{}, {}};
                factors(n, j, q, one, two);
                const C *in = rows + parent(j, q), *bar = bars + begin[j] + q * (j + 1);
                C *out = bars + parent(j, q), left = bar[0];
                for (index_t m = 0; m < j; ++m) {
                    const C v = in[m], right = bar[m + 1];
                    out[m].r += one.r * left.r + one.i * left.i + (two.r * right.r + two.i * right.i);
                    out[m].i += one.r * left.i - one.i * left.r + (two.r * right.i - two.i * right.r);
                    by_one.r += v.r * left.r + v.i * left.i, by_one.i += v.r * left.i - v.i * left.r;
                    by_two.r += v.r * right.r + v.i * right.i, by_two.i += v.r * right.i - v.i * right.r;
                    left = right;
                }
                if (2 * q == j) {
                    by_b.r += by_one.r, by_b.i += by_one.i, by_a.r += by_two.r, by_a.i += by_two.i;
                } else {
                    by_a.r += by_one.r, by_a.i -= by_one.i, by_b.r -= by_two.r, by_b.i += by_two.i;
                }
            }
        const Vec<T> inverse = 1 / n.r, over = n.sine * inverse, change = (n.cosine * n.turn - over) * inverse;
        const Vec<T> along = (n.y * by_b.r - n.x * by_b.i - n.z * by_a.i) * change - n.sine * n.turn * by_a.r +
                             n.slope * bars[0].r;
        slopes[0] = along * n.x * inverse - over * by_b.i;
        slopes[1] = along * n.y * inverse + over * by_b.r;
        slopes[2] = along * n.z * inverse - over * by_a.i;
    }

    // Derivatives of the rows by the neighbor's position.
    INLINE void differentiate(const Place& n) const {
        const Vec<T> inverse = 1 / n.r, over = n.sine * inverse, change = (n.cosine * n.turn - over) * inverse;
        const Vec<T> unit[3] = {n.x * inverse, n.y * inverse, n.z * inverse}, none = {};
        for (index_t d = 0; d < 3; ++d) {
            Place by = n;
            by.a = {-n.sine * n.turn * unit[d], -change * unit[d] * n.z - (d == 2 ? over : none)};
            by.b = {change * unit[d] * n.y + (d == 1 ? over : none), -change * unit[d] * n.x - (d == 0 ? over : none)};
            C* t = tangents + d * half;
            t[0] = {n.slope * unit[d], none};
            for (index_t j = 1; j <= s.top; ++j)
                for (index_t q = 0; 2 * q <= j; ++q) {
                    C one, two;
                    C* out = t + begin[j] + q * (j + 1);
                    factors(n, j, q, one, two);
                    grow(one, two, t + parent(j, q), out, j);
                    factors(by, j, q, one, two);
                    grow(one, two, rows + parent(j, q), bars, j);
                    for (index_t m = 0; m <= j; ++m) out[m].r += bars[m].r, out[m].i += bars[m].i;
                }
        }
    }
};
