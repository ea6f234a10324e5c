// One-layer networks on invariants of an atom's neighbor density, with their slopes, and these invariants as rows
// (density_network.py).
//
// Each center's neighbors within reach are sorted by element; everything that belongs to a neighbor is evaluated for
// eight or sixteen of them at once. Harmonics are the scaled solid ones, whose derivatives are sums of two harmonics
// of the degree below. Each center writes to its own row and its own pairs, so nothing depends on the threads.
#include <limits>
#include <utility>

#include "centers.hpp"
#include "density_neighbors.hpp"

// What one thread needs to evaluate one center after the other.
template <typename T>
struct Center {
    static constexpr int lanes = Lanes<T>::count;
    using vec = Vec<T>;
    const Problem<T>& q;
    const Sizes& size;
    index_t harmonics, features, wide, nodes, across;  // filled up: features, hidden nodes, angular channels
    Pool<T> pool;
    Neighbors<T> radial, angular;
    T *shape, *rows, *density, *force, *feature, *gradient, *node, *delta;  // rows: g, [neighbors][across]
    vec *given, *risen, *mixed;
    index_t origin = 0;  // the pair whose slopes come first

    static index_t widest(const Problem<T>& q) {
        index_t most = 0;
        for (index_t i = 0; i < q.atoms; ++i) most = std::max(most, q.begins[i + 1] - q.begins[i]);
        return filled<T>(most) + lanes;
    }
    static index_t room(const Problem<T>& q, index_t width) {
        const Sizes& s = q.size;
        const index_t harmonics = (s.l_max + 1) * (s.l_max + 1), across = filled<T>(s.angular_channels);
        const index_t wide = filled<T>(s.channels + s.invariants * s.angular_channels), nodes = filled<T>(s.hidden);
        return Neighbors<T>::room(width, s.channels, s.basis) +
               Neighbors<T>::room(width, s.angular_channels, s.angular_basis) + harmonics * (width + 2 * across) +
               width * across + (2 * harmonics + s.invariants) * lanes + 2 * wide + 2 * nodes + 16 * lanes;
    }

    explicit Center(const Problem<T>& q) : Center(q, widest(q)) {}
    Center(const Problem<T>& q, index_t width)
        : q(q), size(q.size), harmonics((size.l_max + 1) * (size.l_max + 1)),
          features(size.channels + size.invariants * size.angular_channels), wide(filled<T>(features)),
          nodes(filled<T>(size.hidden)), across(filled<T>(size.angular_channels)), pool(room(q, width)),
          radial(pool, width, size.kinds, size.channels, size.basis),
          angular(pool, width, size.kinds, size.angular_channels, size.angular_basis) {
        shape = pool.take(harmonics * width), rows = pool.take(width * across), density = pool.take(harmonics * across);
        force = pool.take(harmonics * across), feature = pool.take(wide), gradient = pool.take(wide);
        node = pool.take(nodes), delta = pool.take(nodes);
        given = (vec*)pool.take(harmonics * lanes), risen = (vec*)pool.take(harmonics * lanes);
        mixed = (vec*)pool.take(size.invariants * lanes);
    }

    // values [heads] of the center, slopes [heads][pairs][3] of all pairs
    void evaluate(index_t i, T* values, T* slopes) {
        const index_t e = q.kind[i], pairs = q.begins[q.atoms];
        describe(i);
        first_layer(e);
        for (index_t h = 0; h < size.heads; ++h) {
            T* own = slopes + 3 * h * pairs;
            std::fill(own + 3 * q.begins[i], own + 3 * q.begins[i + 1], T(0));
            values[h] = head(e, h);
            pull(own);
        }
        if (q.repels) values[0] += repel(e, slopes);
    }

    // The center's features.
    void describe(index_t i) {
        const index_t e = q.kind[i], kinds = size.kinds;
        const double* reach = q.radii + 2 * e * kinds;
        radial.gather(q, i, reach);
        radial.functions(reach, q.radial + e * kinds * size.channels * size.basis);
        for (index_t n = 0; n < size.channels; ++n) {
            vec total = {};
            for (index_t k = 0; k < radial.count; k += lanes) total += at(radial.g + n * radial.width + k);
            feature[n] = sum<T>(total);
        }
        if (size.l_max) {
            angular.gather(q, i, reach + 1);
            angular.functions(reach + 1, q.angular + e * kinds * size.angular_channels * size.angular_basis);
            for (index_t k = 0; k < angular.count; k += lanes) directions(k);
            expand();
            invariants();
        }
    }

    // Adds the slopes of the center's pairs that the gradient of its features makes.
    void pull(T* slopes) {
        along_radii(slopes);
        if (!size.l_max) return;
        pull_invariants();
        for (index_t k = 0; k < angular.count; k += lanes) along_densities(k, slopes);
    }

    static index_t place(index_t l, index_t m) { return l * l + l + m; }
    INLINE vec& y(index_t l, index_t m, index_t k) { return at(shape + place(l, m) * angular.width + k); }

    // C_lm (m >= 0) and S_lm (as -m) of unit vectors: r^l P_lm(cos) / (l + m)! times cos m phi and sin m phi
    void directions(index_t k) {
        const vec x = at(angular.x + k), y1 = at(angular.y + k), z = at(angular.z + k);
        y(0, 0, k) = spread<T>(1);
        for (index_t l = 0; l < size.l_max; ++l) {
            const T top = (T)(1.0 / (2 * l + 2));
            const vec c = y(l, l, k), s = l ? y(l, -l, k) : vec{};
            y(l + 1, l + 1, k) = (x * c - y1 * s) * top, y(l + 1, -l - 1, k) = (y1 * c + x * s) * top;
            for (index_t m = -l; m <= l; ++m) {
                const index_t n = m < 0 ? -m : m;
                const T scale = (T)(1.0 / ((l + n + 1) * (l - n + 1)));
                vec above = (T)(2 * l + 1) * z * y(l, m, k);
                if (n < l) above -= y(l - 1, m, k);
                y(l + 1, m, k) = above * scale;
            }
        }
    }

    // A_lmn: sums over neighbors of g_n times each harmonic, [harmonics][across]
    void expand() {
        for (index_t n = 0; n < size.angular_channels; ++n)
            for (index_t k = 0; k < angular.count; ++k) rows[k * across + n] = angular.g[n * angular.width + k];
        for (index_t n = 0; n < across; n += lanes)
            for (index_t p = 1; p < harmonics; p += 8) {
                vec total[8] = {};
                const T* own[8];
                for (int s = 0; s < 8; ++s) own[s] = shape + std::min(p + s, harmonics - 1) * angular.width;
                for (index_t k = 0; k < angular.count; ++k) {
                    const vec g = at(rows + k * across + n);
#pragma GCC unroll 8
                    for (int s = 0; s < 8; ++s) total[s] += own[s][k] * g;
                }
                for (index_t s = 0; s < std::min<index_t>(8, harmonics - p); ++s)
                    at(density + (p + s) * across + n) = total[s];
            }
    }

    INLINE const vec& a(index_t p, index_t n) const { return at(density + p * across + n); }

    void invariants() {
        const index_t channels = size.angular_channels;
        T* made = feature + size.channels;
        for (index_t n = 0; n < across; n += lanes) {
            for (index_t v = 0; v < size.invariants; ++v) mixed[v] = vec{};
            for (index_t l = 1; l <= size.l_max; ++l)
                for (index_t p = l * l; p < (l + 1) * (l + 1); ++p) mixed[l - 1] += (T)q.squares[p] * a(p, n) * a(p, n);
            if (size.fives >= 0) mixed[size.fives] = mixed[0] * mixed[0] * (T)(7.0 / 15);
            for (index_t t = 0; t < size.terms; ++t) {
                const Term& term = q.terms[t];
                mixed[term.invariant] += (T)q.factors[t] * a(term.a, n) * a(term.b, n) * a(term.c, n);
            }
            for (index_t v = 0; v < size.invariants; ++v) store<T>(made + v * channels + n, channels - n, mixed[v]);
        }
    }

    // from the gradient of the features to that of the densities
    void pull_invariants() {
        const index_t channels = size.angular_channels;
        const T* own = gradient + size.channels;
        for (index_t n = 0; n < across; n += lanes) {
            for (index_t v = 0; v < size.invariants; ++v) mixed[v] = load<T>(own + v * channels + n, channels - n);
            if (size.fives >= 0)
                mixed[0] += mixed[size.fives] * (T)(14.0 / 15) * load<T>(feature + size.channels + n, channels - n);
            for (index_t l = 1; l <= size.l_max; ++l)
                for (index_t p = l * l; p < (l + 1) * (l + 1); ++p)
                    at(force + p * across + n) = 2 * (T)q.squares[p] * mixed[l - 1] * a(p, n);
            for (index_t t = 0; t < size.terms; ++t) {
                const Term& term = q.terms[t];
                const vec slope = mixed[term.invariant] * (T)q.factors[t];
                const vec one = a(term.a, n), two = a(term.b, n), three = a(term.c, n);
                at(force + term.a * across + n) += slope * two * three;
                at(force + term.b * across + n) += slope * one * three;
                at(force + term.c * across + n) += slope * one * two;
            }
        }
    }

    void first_layer(index_t e) {
        const T* weights = q.inward + e * features * nodes;
        for (index_t j = 0; j < nodes; j += lanes) {
            vec total = *(const unaligned*)(q.inner_bias + e * nodes + j);
            for (index_t d = 0; d < features; ++d) total += feature[d] * *(const unaligned*)(weights + d * nodes + j);
            const vec zero = {}, rest = exponential<T>(-2 * (total < zero ? -total : total));
            const vec value = (1 - rest) / (1 + rest);  // tanh of the magnitude: its exponential cannot overflow
            at(node + j) = total < zero ? -value : value;
        }
    }

    typedef T unaligned __attribute__((vector_size(64), aligned(sizeof(T))));

    // the value of one head; leaves the gradient of the features
    T head(index_t e, index_t h) {
        const T *last = q.last + (e * size.heads + h) * nodes, *weights = q.outward + e * size.hidden * wide;
        vec total = {};
        for (index_t j = 0; j < nodes; j += lanes) {
            const vec own = at(node + j), w = *(const unaligned*)(last + j);
            total += w * own;
            at(delta + j) = w * (1 - own * own);
        }
        for (index_t d = 0; d < wide; d += lanes) {
            vec made = {};
            for (index_t j = 0; j < size.hidden; ++j) made += delta[j] * *(const unaligned*)(weights + j * wide + d);
            at(gradient + d) = made;
        }
        return sum<T>(total) + q.last_bias[e * size.heads + h];
    }

    void along_radii(T* slopes) {
        for (index_t k = 0; k < radial.count; k += lanes) {
            vec along = {};
            for (index_t n = 0; n < size.channels; ++n) along += gradient[n] * at(radial.slope + n * radial.width + k);
            add(radial, k, along * at(radial.x + k), along * at(radial.y + k), along * at(radial.z + k), slopes);
        }
    }

    INLINE void add(const Neighbors<T>& own, index_t k, const vec& x, const vec& y, const vec& z, T* slopes) {
        for (index_t s = 0; s < std::min<index_t>(lanes, own.count - k); ++s) {
            T* to = slopes + 3 * (own.pair[k + s] - origin);
            to[0] += x[s], to[1] += y[s], to[2] += z[s];
        }
    }

    void along_densities(index_t k, T* slopes) {
        for (index_t p = 1; p < harmonics; p += 4) {
            vec value[4] = {}, rise[4] = {};
            const T* own[4];
            for (int s = 0; s < 4; ++s) own[s] = force + std::min(p + s, harmonics - 1) * across;
            for (index_t n = 0; n < size.angular_channels; ++n) {
                const vec g = at(angular.g + n * angular.width + k), slope = at(angular.slope + n * angular.width + k);
#pragma GCC unroll 4
                for (int s = 0; s < 4; ++s) value[s] += own[s][n] * g, rise[s] += own[s][n] * slope;
            }
            for (index_t s = 0; s < std::min<index_t>(4, harmonics - p); ++s) given[p + s] = value[s], risen[p + s] = rise[s];
        }
        vec along = {}, x = {}, y1 = {}, z = {};
        for (index_t l = 1; l <= size.l_max; ++l)
            for (index_t m = -l; m <= l; ++m) {
                const vec own = given[place(l, m)], shape = y(l, m, k);
                along += risen[place(l, m)] * shape - (T)l * own * shape * at(angular.inverse + k);
                const vec turned = own * at(angular.inverse + k);
                const index_t n = m < 0 ? -m : m, sign = m < 0 ? -1 : 1;
                if (n < l) z += turned * y(l - 1, m, k);
                if (n + 1 < l) {
                    // beside m = 0 both neighbors in m are the same one
                    const T part = n ? (T)0.5 : (T)1;
                    x -= part * turned * y(l - 1, sign * (n + 1), k);
                    y1 -= part * (T)sign * turned * y(l - 1, -sign * (n + 1), k);
                }
                if (n) {
                    if (n > 1 || m > 0) x += (T)0.5 * turned * y(l - 1, sign * (n - 1), k);
                    if (n > 1 || m < 0) y1 -= (T)(0.5 * sign) * turned * y(l - 1, -sign * (n - 1), k);
                }
            }
        add(angular, k, along * at(angular.x + k) + x, along * at(angular.y + k) + y1, along * at(angular.z + k) + z,
            slopes);
    }

    // half the repulsion of every pair, with its slope
    T repel(index_t e, T* slopes) {
        T total = 0;
        for (index_t a = 0; a < size.kinds; ++a) {
            const Pair& own = q.repulsion[e * size.kinds + a];
            for (index_t k = radial.first[a]; k < radial.first[a + 1]; ++k) {
                const T r = radial.r[k];
                if (!(r < (T)own.outer)) continue;
                T phi = 0, fall = 0;
                for (int s = 0; s < 8; s += 2) {
                    const T rate = (T)(own.screening[s + 1] * own.rate), part = (T)own.screening[s] * std::exp(-rate * r);
                    phi += part, fall -= rate * part;
                }
                const T span = (T)(M_PI / (own.outer - own.inner)), turn = r > (T)own.inner ? (r - (T)own.inner) * span : 0;
                const T cut = (T)0.5 * (1 + std::cos(turn)), steep = (T)-0.5 * span * std::sin(turn);
                const T size = (T)(0.5 * own.charges) * radial.inverse[k];
                total += size * phi * cut;
                const T along = size * ((fall - phi * radial.inverse[k]) * cut + phi * steep);
                T* to = slopes + 3 * radial.pair[k];
                to[0] += along * radial.x[k], to[1] += along * radial.y[k], to[2] += along * radial.z[k];
            }
        }
        return total;
    }
};

template <typename T>
void forward(const Problem<T>& q, T* values, T* slopes, index_t threads) {
    const index_t heads = q.size.heads, pairs = q.atoms ? q.begins[q.atoms] : 0;
    if (std::any_of(q.kind, q.kind + q.atoms, [&](index_t e) { return e < 0 || e >= q.size.kinds; })) {
        std::fill(values, values + q.atoms * heads, std::numeric_limits<T>::quiet_NaN());
        std::fill(slopes, slopes + 3 * heads * pairs, std::numeric_limits<T>::quiet_NaN());
        return;
    }
#pragma omp parallel num_threads(threads) if (q.atoms > 1)
    {
        Center<T> center(q);
#pragma omp for schedule(dynamic, 8)
        for (index_t i = 0; i < q.atoms; ++i) center.evaluate(i, values + i * heads, slopes);
    }
}

template <typename T>
void backward(index_t atoms, index_t heads, const index_t* begins, const T* slopes, const T* gradients, T* made,
              index_t threads) {
    const index_t pairs = atoms ? begins[atoms] : 0;
#pragma omp parallel for num_threads(threads) if (atoms > 1)
    for (index_t i = 0; i < atoms; ++i)
        for (index_t p = 3 * begins[i]; p < 3 * begins[i + 1]; ++p) {
            T total = 0;
            for (index_t h = 0; h < heads; ++h) total += gradients[i * heads + h] * slopes[3 * h * pairs + p];
            made[p] = total;
        }
}

// The features themselves, as other kernels' rows.
template <typename T>
struct RowProblem {
    const Problem<T>& all;
    index_t atoms, kinds, size;
    const index_t *begins, *kind;
};

template <typename T, Mode MODE>
struct RowCenter {
    const RowProblem<T>& q;
    Center<T> center;
    std::vector<T> part;  // slopes of one feature, [pairs of the center][3]

    explicit RowCenter(const RowProblem<T>& q) : q(q), center(q.all) {}

    void evaluate(index_t i, T* row, T* made) {
        const index_t begin = q.begins[i], end = q.begins[i + 1];
        center.describe(i);
        if (MODE == VALUES) std::copy(center.feature, center.feature + q.size, row);
        if (MODE == PULL) {
            std::fill(made + 3 * begin, made + 3 * end, T(0));
            std::copy(row, row + q.size, center.gradient);
            center.pull(made);
        }
        for (index_t d = 0; d < q.size && MODE == JACOBIAN; ++d) {
            part.assign(3 * (end - begin), T(0));
            std::fill(center.gradient, center.gradient + q.size, T(0));
            center.gradient[d] = 1, center.origin = begin;
            center.pull(part.data());
            for (index_t p = begin; p < end; ++p)
                std::copy_n(part.data() + 3 * (p - begin), 3, made + 3 * (p * q.size + d));
        }
    }
};

template <typename T, Mode MODE>
void rows(const Problem<T>& all, const T* given, T* made, index_t threads) {
    const Sizes& s = all.size;
    const index_t size = s.channels + s.invariants * s.angular_channels;
    const RowProblem<T> q{all, all.atoms, s.kinds, size, all.begins, all.kind};
    sweep<RowCenter, T, MODE>(q, given, made, threads);
}

#define ROWS(T)                                                                                                     \
    index_t atoms, const index_t *begins, const index_t *neighbors, const index_t *kind, const T *vectors,          \
        const Sizes *sizes, const double *radii, const double *squares, const Term *terms, const double *factors,   \
        const T *radial, const T *angular
#define OF_ROWS(T)                                                                                                  \
    const Problem<T> q{atoms, begins, neighbors, kind, vectors, *sizes, radii, squares, terms, factors, nullptr,    \
                       radial, angular, nullptr, nullptr, nullptr, nullptr, nullptr, 0}
#define EXPORTS(name, T)                                                                                            \
    extern "C" void rows_forward_##name(ROWS(T), T* values, index_t threads) {                                      \
        OF_ROWS(T);                                                                                                 \
        rows<T, VALUES>(q, nullptr, values, threads);                                                               \
    }                                                                                                               \
    extern "C" void rows_backward_##name(ROWS(T), const T* given, T* made, index_t threads) {                       \
        OF_ROWS(T);                                                                                                 \
        rows<T, PULL>(q, given, made, threads);                                                                     \
    }                                                                                                               \
    extern "C" void rows_jacobian_##name(ROWS(T), T* made, index_t threads) {                                       \
        OF_ROWS(T);                                                                                                 \
        rows<T, JACOBIAN>(q, nullptr, made, threads);                                                               \
    }                                                                                                               \
    extern "C" void forward_##name(                                                                                 \
        index_t atoms, const index_t* begins, const index_t* neighbors, const index_t* kind, const T* vectors,      \
        const Sizes* sizes, const double* radii, const double* squares, const Term* terms, const double* factors,   \
        index_t repels, const Pair* repulsion, const T* radial, const T* angular, const T* inward,                  \
        const T* outward, const T* inner_bias, const T* last, const T* last_bias, T* values, T* slopes,             \
        index_t threads) {                                                                                          \
        Problem<T> q{atoms, begins, neighbors, kind, vectors, *sizes, radii, squares, terms, factors, repulsion,    \
                     radial, angular, inward, outward, inner_bias, last, last_bias, repels};                        \
        forward<T>(q, values, slopes, threads);                                                                     \
    }                                                                                                               \
    extern "C" void backward_##name(index_t atoms, index_t heads, const index_t* begins, const T* slopes,           \
                                    const T* gradients, T* made, index_t threads) {                                 \
        backward<T>(atoms, heads, begins, slopes, gradients, made, threads);                                        \
    }
EXPORTS(f32, float)
EXPORTS(f64, double)
