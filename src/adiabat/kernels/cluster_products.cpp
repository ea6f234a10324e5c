// Energies and features of the atomic cluster expansion, block of atoms by block (cluster_products.py).
#include "cluster_block.hpp"

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
