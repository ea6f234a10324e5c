// Energies and features of the atomic cluster expansion, a vector of atoms of one element at a time
// (cluster_products.py). Lane l of every vector is one atom of the block; its neighbors come one after the other, sorted
// by element, and lanes that have no more get one beyond the cutoff, whose radial functions are zero.
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

// Calls run(work) for every block of atoms of one element.
template <typename T, typename Run>
void blocks(const Shape& s, const T* vectors, index_t extra, index_t threads, Run run) {
    constexpr index_t lanes = Lanes<T>::count;
    std::vector<index_t> order, bounds(1, 0);
    for (index_t c = 0; c < s.kinds; ++c) {
        for (index_t i = 0; i < s.atoms; ++i)
            if (s.kind[i] == c) {
                if ((index_t)order.size() - bounds.back() == lanes) bounds.push_back(order.size());
                order.push_back(i);
            }
        if ((index_t)order.size() > bounds.back()) bounds.push_back(order.size());
    }
#pragma omp parallel num_threads(threads)
    {
        Work<T> work(s, vectors, extra);
#pragma omp for schedule(dynamic, 1)
        for (index_t block = 0; block < (index_t)bounds.size() - 1; ++block) {
            work.count = bounds[block + 1] - bounds[block];
            for (index_t l = 0; l < work.count; ++l) work.atom[l] = order[bounds[block] + l];
            work.gather();
            run(work);
        }
    }
}

// a F(rho) and its slope; shifted and scaled with exp(-|rho|), or sharp.
static double embed(double rho, double factor, double power, bool shifted, double& slope) {
    if (power == 1) return slope = factor, factor * rho;
    const double size = std::fabs(rho), sign = rho < 0 ? -1 : 1;
    if (shifted) {
        const double n = 1 / power, decay = std::exp(-size);
        const double x = std::pow(n, n / (1 - n)) * decay, y = std::pow(n, 1 / (1 - n)) * decay;
        slope = factor * (y + power * (1 - x) * std::pow(x + size, power - 1));
        return factor * sign * (std::pow(x + size, power) - y);
    }
    const double sharp = 1e6, linear = std::pow(sharp, 1 - power);
    if (size <= 1e-10) return slope = factor * linear, factor * linear * rho;
    const double cube = std::pow(sharp * size, 3), weight = std::exp(-std::min(cube, 700.0));
    const double change = cube < 700 ? -3 * cube / size * weight : 0, raised = std::pow(size, power);
    slope = factor * (power * raised / size * (1 - weight) - raised * change + linear * (size * change + weight));
    return factor * sign * ((1 - weight) * raised + weight * linear * size);
}

// Energies `[atoms]` and their slopes by pair vectors `[pairs, 3]`; weights are of each product [terms][densities].
template <typename T>
void energies(const Shape& s, const int32_t* term_begins, const int32_t* nodes, const double* weights,
              const double* embeddings, const T* vectors, T* out, T* slopes, index_t threads) {
    std::fill(slopes, slopes + 3 * s.begins[s.atoms], T(0));
    blocks<T>(s, vectors, s.densities, threads, [&](Work<T>& work) {
        const index_t kind = s.kind[work.atom[0]], total = work.own + s.products;
        work.sum();
        work.multiply();
        Vec<T>* densities = work.more;
        for (index_t p = 0; p < s.densities; ++p) densities[p] = Vec<T>{};
        for (index_t t = term_begins[kind]; t < term_begins[kind + 1]; ++t)
            for (index_t p = 0; p < s.densities; ++p)
                densities[p] += work.values[nodes[t]] * (T)weights[t * s.densities + p];
        for (index_t l = 0; l < work.count; ++l) {
            double energy = 0;
            for (index_t p = 0; p < s.densities; ++p) {
                const double* e = embeddings + (kind * s.densities + p) * 3;
                double slope;
                energy += embed(densities[p][l], e[0], e[1], e[2] > 0, slope);
                densities[p][l] = slope;
            }
            out[work.atom[l]] = energy;
        }
        std::fill((T*)work.bars, (T*)(work.bars + total), T(0));
        for (index_t t = term_begins[kind]; t < term_begins[kind + 1]; ++t)
            for (index_t p = 0; p < s.densities; ++p)
                work.bars[nodes[t]] += densities[p] * (T)weights[t * s.densities + p];
        work.share();
        work.pull(slopes);
    });
}

// Feature f is a sum of values times weights; column k of an atom of kind c is feature choice[c][k], or 0.
struct Features {
    const int32_t *choice, *begins, *nodes;
    const double* weights;
    index_t count;

    template <typename T>
    void evaluate(const Work<T>& work, T* out) const {
        const index_t size = work.s.size;
        const int32_t* own = choice + work.s.kind[work.atom[0]] * size;
        for (index_t k = 0; k < size; ++k) {
            Vec<T> total = {};
            const index_t f = own[k];
            if (f < count)
                for (index_t t = begins[f]; t < begins[f + 1]; ++t) total += work.values[nodes[t]] * (T)weights[t];
            for (index_t l = 0; l < work.count; ++l) out[work.atom[l] * size + k] = total[l];
        }
    }
};

// Features `[atoms, size]`.
template <typename T>
void forward(const Shape& s, const Features& features, const T* vectors, T* out, index_t threads) {
    blocks<T>(s, vectors, 0, threads, [&](Work<T>& work) {
        work.sum();
        work.multiply();
        features.evaluate(work, out);
    });
}

// Slopes by pair vectors `[pairs, 3]` of what has these derivatives by the features `[atoms, size]`.
template <typename T>
void backward(const Shape& s, const Features& features, const T* vectors, const T* given, T* slopes, index_t threads) {
    std::fill(slopes, slopes + 3 * s.begins[s.atoms], T(0));
    blocks<T>(s, vectors, 0, threads, [&](Work<T>& work) {
        const int32_t* own = features.choice + s.kind[work.atom[0]] * s.size;
        work.sum();
        work.multiply();
        std::fill((T*)work.bars, (T*)(work.bars + work.own + s.products), T(0));
        for (index_t k = 0; k < s.size; ++k) {
            const index_t f = own[k];
            if (f >= features.count) continue;
            Vec<T> bar = {};
            for (index_t l = 0; l < work.count; ++l) bar[l] = given[work.atom[l] * s.size + k];
            for (index_t t = features.begins[f]; t < features.begins[f + 1]; ++t)
                work.bars[features.nodes[t]] += bar * (T)features.weights[t];
        }
        work.share();
        work.pull(slopes);
    });
}

// Features `[atoms, size]` and their slopes `[pairs, size, 3]`. The derivative of a feature by a sum (uses) is a sum of
// values times factors too (parts; a node of -1 is 1).
template <typename T>
void jacobian(const Shape& s, const Features& given, const int32_t* use_begins, const int32_t* uses,
              const int32_t* part_begins, const int32_t* parts, const double* factors, const T* vectors, T* out,
              T* slopes, index_t threads) {
    std::fill(slopes, slopes + 3 * s.size * s.begins[s.atoms], T(0));
    const index_t features = given.count, derivatives = use_begins[features];
    blocks<T>(s, vectors, derivatives + 3 * s.channels(), threads, [&](Work<T>& work) {
        const index_t kind = s.kind[work.atom[0]];
        const int32_t* own = given.choice + kind * s.size;
        work.sum();
        work.multiply();
        given.evaluate(work, out);
        Vec<T>*derivative = work.more + work.width, *turned = derivative + derivatives;
        for (index_t u = 0; u < derivatives; ++u) {
            Vec<T> total = {};
            for (index_t t = part_begins[u]; t < part_begins[u + 1]; ++t)
                total += (parts[t] < 0 ? spread<T>(1) : work.values[parts[t]]) * (T)factors[t];
            derivative[u] = total;
        }
        for (index_t c = 0; c < s.kinds; ++c) {
            const index_t bond = kind * s.kinds + c, first = c * s.count, later = s.kinds * s.count;
            const index_t coupled = later + c * s.n_max * work.width;
            for (index_t slot = work.slot_begin[c]; slot < work.slot_begin[c + 1]; ++slot) {
                const Vec<T>*place = work.slots + slot * work.stored, *d = place + 4 + s.count;
                for (index_t k = 0; k < s.count; ++k)
                    for (index_t a = 0; a < 3; ++a) turned[(first + k) * 3 + a] = d[k] * place[a];
                if (s.n_max) {
                    work.shapes.evaluate(place, true, work.powers, work.y);
                    work.mix(place + 4, bond, work.table);
                    work.mix(d, bond, work.slope_table);
                }
                for (index_t k = 0, l = 0; s.n_max && k < work.width; ++k) {
                    if (k == (l + 1) * (l + 1)) ++l;
                    for (index_t j = 0; j < work.width; ++j) work.more[j] = Vec<T>{};
                    work.more[k] = spread<T>(1);
                    Vec<T> gradient[3] = {};
                    work.shapes.gradient(place, work.powers, work.more, l, l + 1, gradient);
                    const Vec<T> inward = gradient[0] * place[0] + gradient[1] * place[1] + gradient[2] * place[2];
                    for (index_t a = 0; a < 3; ++a) {
                        const Vec<T> across = (gradient[a] - inward * place[a]) * place[3];
                        const Vec<T> along = work.y[k] * place[a];
                        for (index_t n = 0; n < s.n_max; ++n) {
                            const index_t e = n * work.degrees + l;
                            turned[(coupled + n * work.width + k) * 3 + a] =
                                work.table[e] * across + work.slope_table[e] * along;
                        }
                    }
                }
                for (index_t k = 0; k < s.size; ++k) {
                    const index_t f = own[k];
                    if (f >= features) continue;
                    Vec<T> total[3] = {};
                    for (index_t u = use_begins[f]; u < use_begins[f + 1]; ++u) {
                        const index_t channel = uses[u];
                        const bool mine = channel < later ? channel / s.count == c
                                                          : (channel - later) / (s.n_max * work.width) == c;
                        if (!mine) continue;
                        for (index_t a = 0; a < 3; ++a) total[a] += derivative[u] * turned[channel * 3 + a];
                    }
                    for (index_t l = 0; l < work.count; ++l) {
                        const index_t p = work.pairs[slot * work.lanes + l];
                        for (index_t a = 0; p >= 0 && a < 3; ++a) slopes[(p * s.size + k) * 3 + a] = total[a][l];
                    }
                }
            }
        }
    });
}

#define SHAPE                                                                                                       \
    index_t atoms, index_t kinds, index_t count, index_t n_max, index_t l_max, index_t products, index_t densities, \
        index_t size, const index_t *begins, const index_t *neighbors, const index_t *kind, const double *bonds,    \
        const double *mixing, const double *coefficients, const int32_t *first, const int32_t *second
#define GIVEN                                                                                                    \
    {atoms, kinds, count, n_max, l_max, products, densities, size, begins, neighbors, kind, bonds, mixing,       \
     coefficients, first, second}
#define FEATURES \
    const int32_t *choice, const int32_t *term_begins, const int32_t *nodes, const double *weights, index_t features
#define TERMS {choice, term_begins, nodes, weights, features}
#define BOTH(T, suffix)                                                                                               \
    extern "C" void energies_##suffix(SHAPE, const int32_t* term_begins, const int32_t* nodes, const double* weights, \
                                      const double* embeddings, const T* vectors, T* out, T* slopes,                  \
                                      index_t threads) {                                                              \
        const Shape s = GIVEN;                                                                                        \
        energies<T>(s, term_begins, nodes, weights, embeddings, vectors, out, slopes, threads);                       \
    }                                                                                                                 \
    extern "C" void forward_##suffix(SHAPE, FEATURES, const T* vectors, T* out, index_t threads) {                    \
        const Shape s = GIVEN;                                                                                        \
        forward<T>(s, TERMS, vectors, out, threads);                                                                  \
    }                                                                                                                 \
    extern "C" void backward_##suffix(SHAPE, FEATURES, const T* vectors, const T* given, T* slopes,                   \
                                      index_t threads) {                                                              \
        const Shape s = GIVEN;                                                                                        \
        backward<T>(s, TERMS, vectors, given, slopes, threads);                                                       \
    }                                                                                                                 \
    extern "C" void jacobian_##suffix(SHAPE, FEATURES, const int32_t* use_begins, const int32_t* uses,                \
                                      const int32_t* part_begins, const int32_t* parts, const double* factors,        \
                                      const T* vectors, T* out, T* slopes, index_t threads) {                         \
        const Shape s = GIVEN;                                                                                        \
        jacobian<T>(s, TERMS, use_begins, uses, part_begins, parts, factors, vectors, out, slopes, threads);          \
    }

BOTH(float, f32)
BOTH(double, f64)
