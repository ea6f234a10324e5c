// Sums and products of the atomic cluster expansion for a block of atoms of one element. Lane l of every vector is one
// atom of the block; its neighbors come one after the other, sorted by element, and lanes that have no more get one
// beyond the cutoff, whose radial functions are zero.
#pragma once
#include "harmonics.hpp"

enum { BASIS, DECAY, CUTOFF, WIDTH, RADIUS, FADE, COUNT, PLAIN, BOND_FIELDS };

struct Shape {
    index_t atoms, kinds, count, n_max, l_max, products, densities, size;
    const index_t *begins, *neighbors, *kind;
    const double *bonds, *mixing, *coefficients;
    const int32_t *first, *second;
    index_t channels() const { return kinds * (count + n_max * (l_max + 1) * (l_max + 1)); }
};

template <typename T>
struct Work {
    static constexpr int lanes = Lanes<T>::count;
    typedef Vec<T> V;
    const Shape& s;
    const T* vectors;
    const Harmonics<T> shapes;
    index_t degrees, width, own, stored;
    index_t atom[lanes], count;
    std::vector<index_t> pairs, slot_begin;
    std::vector<char> memory;
    V *values, *bars, *slots, *y, *table, *slope_table, *powers, *more;

    Work(const Shape& s, const T* vectors, index_t extra) : s(s), vectors(vectors), shapes(s.l_max) {
        degrees = s.l_max + 1, width = degrees * degrees, own = s.channels(), stored = 4 + 2 * s.count;
        const index_t nodes = own + s.products;
        index_t most = 0;
        for (index_t i = 0; i < s.atoms; ++i) most = std::max(most, s.begins[i + 1] - s.begins[i]);
        const index_t many = most + s.kinds * most;  // of each element as many as an atom has of it at most
        const index_t total = 2 * nodes + many * stored + 2 * width + 2 * s.n_max * degrees + 2 * width + extra + 64;
        memory.resize((total + 1) * sizeof(V));
        V* next = (V*)(((uintptr_t)memory.data() + 63) / 64 * 64);
        auto take = [&](index_t n) { V* begin = next; return next += n, begin; };
        values = take(nodes), bars = take(nodes), slots = take(many * stored), y = take(width), powers = take(2 * width);
        table = take(s.n_max * degrees), slope_table = take(s.n_max * degrees), more = take(extra + width);
    }

    void gather() {
        slot_begin.assign(1, 0), pairs.clear();
        for (index_t c = 0; c < s.kinds; ++c) {
            const index_t base = slot_begin.back();
            index_t most = 0;
            for (index_t l = 0; l < count; ++l) {
                index_t n = 0;
                const index_t i = atom[l];
                const double reach = s.bonds[(s.kind[i] * s.kinds + c) * BOND_FIELDS + CUTOFF];
                for (index_t p = s.begins[i]; p < s.begins[i + 1]; ++p) {
                    if (s.kind[s.neighbors[p]] != c) continue;
                    const T* v = vectors + 3 * p;
                    if (!((double)v[0] * v[0] + (double)v[1] * v[1] + (double)v[2] * v[2] < reach * reach)) continue;
                    if ((index_t)pairs.size() < (base + n + 1) * lanes) pairs.resize((base + n + 1) * lanes, -1);
                    pairs[(base + n++) * lanes + l] = p;
                }
                most = std::max(most, n);
            }
            slot_begin.push_back(base + most);
        }
    }

    // Unit vector, 1/r, and radial functions with slopes of a slot, stored one after the other.
    void radial(index_t slot, const double* bond, V* out) const {
        alignas(64) T x[lanes], yy[lanes], z[lanes];
        const T cutoff = bond[CUTOFF], decay = bond[DECAY];
        for (index_t l = 0; l < lanes; ++l) {
            const index_t p = l < count ? pairs[slot * lanes + l] : -1;
            x[l] = p < 0 ? 0 : vectors[3 * p], yy[l] = p < 0 ? 0 : vectors[3 * p + 1];
            z[l] = p < 0 ? 2 * cutoff : vectors[3 * p + 2];
        }
        const V square = at(x) * at(x) + at(yy) * at(yy) + at(z) * at(z), zero = {}, one = spread<T>(1);
        V r;
        for (index_t l = 0; l < lanes; ++l) r[l] = std::sqrt(square[l]);
        const V inverse = 1 / r;
        out[0] = at(x) * inverse, out[1] = at(yy) * inverse, out[2] = at(z) * inverse, out[3] = inverse;
        V *g = out + 4, *d = g + s.count, t = r / cutoff, sine, cosine;
        t = t < one ? t : one;
        sine_cosine<T>(t * (T)M_PI - (T)(M_PI / 2), cosine, sine);  // sin(a - pi/2) = -cos a, cos(a - pi/2) = sin a
        cosine = -cosine;
        const index_t basis = bond[BASIS], n = bond[COUNT];
        if (basis == 3) {
            for (index_t k = 0; k < s.count; ++k) g[k] = d[k] = zero;
            V before = zero, now = sine, cos_before = one, cos_now = cosine;
            const V over = 1 / t;
            const T scale = std::pow(cutoff, -1.5);
            for (index_t j = 0; j <= n; ++j) {
                const V f = now * over * scale, slope = (cos_now * (T)((j + 1) * M_PI) * scale - f) * over / cutoff;
                for (index_t k = 0; k < n; ++k) {
                    const T mix = s.mixing[j * s.count + k];
                    g[k] += f * mix, d[k] += slope * mix;
                }
                const V next = 2 * cosine * now - before, cos_next = 2 * cosine * cos_now - cos_before;
                before = now, now = next, cos_before = cos_now, cos_now = cos_next;
            }
        } else {
            V reduced, change;
            if (basis == 0) {
                const T end = std::exp(-decay);
                const V e = exponential<T>(t * -decay);
                reduced = 1 - (e - end) * (T)(2 / (1 - end)), change = e * (T)(2 * decay / cutoff / (1 - end));
            } else if (basis == 1) {
                const V rest = 1 - t, tiny = spread<T>(1e-30), safe = rest > tiny ? rest : tiny;
                const V power = decay == 2 ? safe * safe : exponential<T>(logarithm<T>(safe) * decay);
                reduced = 1 - 2 * power, change = power / safe * (T)(2 * decay / cutoff);
            } else {
                reduced = 1 - t, change = spread<T>(-1 / cutoff);
            }
            V before = one, now = reduced, d_before = zero, d_now = one;
            const index_t shift = basis == 0 ? 1 : 0;
            if (shift) g[0] = one, d[0] = zero;
            for (index_t k = shift; k < n; ++k) {
                g[k] = (T)0.5 - (T)0.5 * now, d[k] = (T)-0.5 * d_now * change;
                const V next = 2 * reduced * now - before, d_next = 2 * (now + reduced * d_now) - d_before;
                before = now, now = next, d_before = d_now, d_now = d_next;
            }
            for (index_t k = n; k < s.count; ++k) g[k] = d[k] = zero;
        }
        V envelope = one, fall = zero;
        if (basis == 0) {
            envelope = (1 + cosine) * (T)0.5, fall = sine * (T)(-0.5 * M_PI / cutoff);
            const T w = std::max(bond[WIDTH], 1e-9);
            const V u = (r - (T)(cutoff - w)) / w, inside = u < zero ? zero : u < one ? u : one;
            V so, co;
            sine_cosine<T>(inside * (T)M_PI - (T)(M_PI / 2), co, so);
            const V outer = (1 - co) * (T)0.5, drop = so * (T)(-0.5 * M_PI / w);
            fall = fall * outer + envelope * (inside == u ? drop : zero), envelope = envelope * outer;
        }
        if (bond[RADIUS] > 0) {
            const V u = 1 - 2 * (1 + (r - (T)bond[RADIUS]) / (T)bond[FADE]);
            const V c = u < -one ? -one : u < one ? u : one, q = c * c;
            const V open = (T)0.5 - c * ((T)0.9375 + q * ((T)0.1875 * q - (T)0.625));
            const V step = ((T)0.9375 + q * ((T)0.9375 * q - (T)1.875)) * (T)(2 / bond[FADE]);
            fall = fall * open + envelope * (c == u ? step : zero), envelope = envelope * open;
        }
        const V end = spread<T>(cutoff);
        envelope = r < end ? envelope : zero, fall = r < end ? fall : zero;
        for (index_t k = 0; k < n; ++k) d[k] = d[k] * envelope + g[k] * fall, g[k] = g[k] * envelope;
    }

    // R_nl [n][l] of g_k
    void mix(const V* g, index_t bond, V* out) const {
        const double* row = s.coefficients + bond * s.n_max * degrees * s.count;
        const double* shape = s.bonds + bond * BOND_FIELDS;
        for (index_t n = 0; n < s.n_max; ++n)
            for (index_t l = 0; l < degrees; ++l) {
                V total = {};
                if (shape[PLAIN])
                    total = n < shape[COUNT] ? g[n] : total;
                else
                    for (index_t k = 0; k < shape[COUNT]; ++k) total += g[k] * (T)row[(n * degrees + l) * s.count + k];
                out[n * degrees + l] = total;
            }
    }

    void sum() {
        std::fill((T*)values, (T*)(values + own), T(0));
        const index_t center = s.kind[atom[0]];
        for (index_t c = 0; c < s.kinds; ++c) {
            const index_t bond = center * s.kinds + c;
            V *plain = values + c * s.count, *coupled = values + s.kinds * s.count + c * s.n_max * width;
            for (index_t slot = slot_begin[c]; slot < slot_begin[c + 1]; ++slot) {
                V* place = slots + slot * stored;
                radial(slot, s.bonds + bond * BOND_FIELDS, place);
                for (index_t k = 0; k < s.count; ++k) plain[k] += place[4 + k];
                if (!s.n_max) continue;
                shapes.evaluate(place, false, powers, y);
                mix(place + 4, bond, table);
                for (index_t n = 0; n < s.n_max; ++n)
                    for (index_t l = 0; l < degrees; ++l) {
                        const V factor = table[n * degrees + l];
                        for (index_t k = l * l; k < (l + 1) * (l + 1); ++k) coupled[n * width + k] += factor * y[k];
                    }
            }
        }
    }

    void multiply() {
        for (index_t k = 0; k < s.products; ++k) values[own + k] = values[s.first[k]] * values[s.second[k]];
    }

    // Derivatives of sums (the first of `bars`), from those of everything that products are given.
    void share() {
        for (index_t k = s.products - 1; k >= 0; --k) {
            const index_t one = s.first[k], two = s.second[k];
            const V bar = bars[own + k];
            bars[one] += bar * values[two];
            bars[two] += bar * values[one];
        }
    }

    // Slopes of the slot's pairs by what the derivatives of sums (bars) are; `each(p, d, value)` takes them.
    void pull(T* out) {
        const index_t center = s.kind[atom[0]];
        for (index_t c = 0; c < s.kinds; ++c) {
            const index_t bond = center * s.kinds + c;
            const V *plain = bars + c * s.count, *coupled = bars + s.kinds * s.count + c * s.n_max * width;
            for (index_t slot = slot_begin[c]; slot < slot_begin[c + 1]; ++slot) {
                const V *place = slots + slot * stored, *d = place + 4 + s.count;
                V along = {}, gradient[3] = {};
                for (index_t k = 0; k < s.count; ++k) along += plain[k] * d[k];
                if (s.n_max) {
                    shapes.evaluate(place, true, powers, y);
                    mix(place + 4, bond, table);
                    mix(d, bond, slope_table);
                    for (index_t k = 0, l = 0; k < width; ++k) {
                        if (k == (l + 1) * (l + 1)) ++l;
                        V weight = {}, turn = {};
                        for (index_t n = 0; n < s.n_max; ++n) {
                            weight += table[n * degrees + l] * coupled[n * width + k];
                            turn += slope_table[n * degrees + l] * coupled[n * width + k];
                        }
                        along += turn * y[k], more[k] = weight;
                    }
                    shapes.gradient(place, powers, more, 0, degrees, gradient);
                }
                const V inward = gradient[0] * place[0] + gradient[1] * place[1] + gradient[2] * place[2];
                for (index_t a = 0; a < 3; ++a) {
                    const V slope = along * place[a] + (gradient[a] - inward * place[a]) * place[3];
                    for (index_t l = 0; l < count; ++l) {
                        const index_t p = pairs[slot * lanes + l];
                        if (p >= 0) out[3 * p + a] = slope[l];
                    }
                }
            }
        }
    }

};
