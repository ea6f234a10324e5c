// Bispectrum components of SNAP: products of the sums over neighbors that sphere_rows.hpp has (bispectrum.py).
#include "sphere_rows.hpp"

enum { J1, J2, J, FIRST_CG, BLOCK_FIELDS };               // of a block: z of level j from levels j1 >= j2
enum { BLOCK, E1, E2, FIRST_USE, GROUP_FIELDS };          // of a group: a block with its two channels
enum { E3, LABEL, OFFSET, USE_FIELDS };                   // of a use: where the group's z goes; OFFSET in the Jacobian

template <typename T>
struct Work : SphereRows<T> {
    typedef Complex<T> C;
    typedef SphereRows<T> Base;
    using Base::bars, Base::begin, Base::bytes, Base::count, Base::density, Base::first, Base::half, Base::lanes, Base::rows,
        Base::s, Base::slot_begin, Base::slots, Base::tangents;
    typedef typename Base::Place Place;
    std::vector<index_t> full_begin;
    C *full, *adjoint, *many;
    std::vector<char> memory;

    Work(const Shape& s, const T* vectors, bool jacobian) : Base(s, vectors) {
        for (index_t j = 0, f = 0; j <= s.top + 1; f += (j + 1) * (j + 1), ++j) full_begin.push_back(f);
        const index_t all = full_begin[s.top + 1];
        const index_t total = 2 * s.channels * half + s.channels * all + 2 * half + (jacobian ? s.width + 3 * half : 0);
        memory.resize((total + 1) * sizeof(C));
        density = (C*)(((uintptr_t)memory.data() + 63) / 64 * 64);
        adjoint = density + s.channels * half;
        full = adjoint + s.channels * half;
        rows = full + s.channels * all;
        bars = rows + half;
        many = bars + half;
        tangents = many + (jacobian ? s.width : 0);
    }

    // One of the two tables of this block from what is kept of it, or to it.
    void load(C* table, const T* kept) const { std::memcpy((void*)table, kept + first * 2 * s.channels * half, bytes()); }
    void save(const C* table, T* kept) const { std::memcpy(kept + first * 2 * s.channels * half, table, bytes()); }

    void unfold() {
        const index_t all = full_begin[s.top + 1];
        for (index_t c = 0; c < s.channels; ++c)
            for (index_t j = 0; j <= s.top; ++j)
                for (index_t q = 0; q <= j; ++q)
                    for (index_t m = 0; m <= j; ++m) {
                        C& out = full[c * all + full_begin[j] + q * (j + 1) + m];
                        const C* in = density + c * half + begin[j];
                        if (2 * q <= j) {
                            out = in[q * (j + 1) + m];
                        } else {
                            const C v = in[(j - q) * (j + 1) + j - m];
                            const T sign = (q - m) % 2 ? -1 : 1;
                            out = {v.r * sign, v.i * -sign};
                        }
                    }
    }

    // z of one group, element by element of the half order of its level, handed to use(place in the level, z).
    template <typename Use>
    INLINE void product(const int32_t* group, Use use) const {
        const int32_t* block = s.blocks + group[BLOCK] * BLOCK_FIELDS;
        const index_t j1 = block[J1], j2 = block[J2], j = block[J], shift = (j1 + j2 - j) / 2;
        const index_t all = full_begin[s.top + 1];
        const C* one = full + group[E1] * all + full_begin[j1];
        const C* two = full + group[E2] * all + full_begin[j2];
        const double* cg = s.cg + block[FIRST_CG];
        for (index_t q = 0; 2 * q <= j; ++q)
            for (index_t m = 0; m <= j; ++m) {
                const index_t low = std::max<index_t>(0, m + shift - j2), high = std::min(j1, m + shift);
                C z = {{}, {}};
                for (index_t q1 = std::max<index_t>(0, q + shift - j2); q1 <= std::min(j1, q + shift); ++q1) {
                    const C* x = one + q1 * (j1 + 1);
                    const C* y = two + (q + shift - q1) * (j2 + 1) + m + shift;
                    C inner = {{}, {}};
                    for (index_t m1 = low; m1 <= high; ++m1) {
                        const C u = x[m1], v = y[-m1];
                        const T c = cg[m * (j1 + 1) + m1];
                        inner.r += c * (u.r * v.r - u.i * v.i);
                        inner.i += c * (u.r * v.i + u.i * v.r);
                    }
                    const T c = cg[q * (j1 + 1) + q1];
                    z.r += c * inner.r, z.i += c * inner.i;
                }
                use(q * (j + 1) + m, (T)(2 * q == j ? 1 : 2), z);
            }
    }

    void components(T* out) const {
        std::vector<T> memory((s.size + 1) * lanes + 64, 0);
        T* total = (T*)(((uintptr_t)memory.data() + 63) / 64 * 64);
        for (index_t g = 0; g < s.values; ++g) {
            const int32_t* group = s.value_groups + g * GROUP_FIELDS;
            const index_t j = s.blocks[group[BLOCK] * BLOCK_FIELDS + J];
            const index_t end = group[FIRST_USE + GROUP_FIELDS];
            for (index_t k = group[FIRST_USE]; k < end; ++k) at(total + s.value_uses[k * USE_FIELDS + LABEL] * lanes) = Vec<T>{};
            product(group, [&](index_t e, T weight, const C& z) {
                for (index_t k = group[FIRST_USE]; k < end; ++k) {
                    const int32_t* use = s.value_uses + k * USE_FIELDS;
                    const C u = density[use[E3] * half + begin[j] + e];
                    at(total + use[LABEL] * lanes) += (z.r * u.r + z.i * u.i) * (weight * (T)s.value_factors[k]);
                }
            });
        }
        for (index_t l = 0; l < count; ++l)
            for (index_t k = 0; k < s.size; ++k)
                out[(first + l) * s.size + k] = total[k * lanes + l] - (T)s.lone[s.kind[first + l] * s.size + k];
    }

    // Derivative of sum_k weight_k B_k by the density; weights `[atoms, size]`, or `[kinds, size]` of each element.
    void adjoints(const T* given, bool of_kinds) const {
        std::memset((void*)adjoint, 0, bytes());
        std::vector<T> memory((s.channels + s.size) * lanes + 64);
        T* factor = (T*)(((uintptr_t)memory.data() + 63) / 64 * 64);
        T* weights = factor + s.channels * lanes;
        for (index_t l = 0; l < lanes; ++l) {
            const T* row = given + (l < count ? of_kinds ? s.kind[first + l] : first + l : 0) * s.size;
            for (index_t k = 0; k < s.size; ++k) weights[k * lanes + l] = l < count ? row[k] : 0;
        }
        for (index_t g = 0; g < s.grads; ++g) {
            const int32_t* group = s.grad_groups + g * GROUP_FIELDS;
            const index_t j = s.blocks[group[BLOCK] * BLOCK_FIELDS + J];
            std::fill(factor, factor + s.channels * lanes, T(0));
            for (index_t k = group[FIRST_USE]; k < group[FIRST_USE + GROUP_FIELDS]; ++k) {
                const int32_t* use = s.grad_uses + k * USE_FIELDS;
                at(factor + use[E3] * lanes) += at(weights + use[LABEL] * lanes) * (T)s.grad_factors[k];
            }
            product(group, [&](index_t e, T weight, const C& z) {
                for (index_t c = 0; c < s.channels; ++c) {
                    C& y = adjoint[c * half + begin[j] + e];
                    const Vec<T> f = at(factor + c * lanes) * weight;
                    y.r += f * z.r, y.i += f * z.i;
                }
            });
        }
    }

    // sum_k weight_k B_k of each atom from its derivative: a cubic form is a third of the sum of slopes times densities.
    Vec<T> form() const {
        Vec<T> total = {};
        for (index_t e = 0; e < s.channels * half; ++e)
            total += density[e].r * adjoint[e].r + density[e].i * adjoint[e].i;
        return total * (T)(1.0 / 3);
    }

    // Derivatives by the vectors, times a number for each atom unless there is none.
    void pull(const T* scale, T* out) const {
        for (index_t l = 0; l < count; ++l)
            std::fill(out + 3 * s.begins[first + l], out + 3 * s.begins[first + l + 1], T(0));
        Vec<T> times = spread<T>(1);
        for (index_t l = 0; scale && l < count; ++l) times[l] = scale[first + l];
        for (index_t c = 0; c < s.channels; ++c) {
            C* y = adjoint + c * half;
            for (index_t e = 0; e < half; ++e) {
                const Vec<T> factor = times * (T)s.norms[e];
                y[e].r *= factor, y[e].i *= factor;
            }
            for (index_t slot = slot_begin[c]; slot < slot_begin[c + 1]; ++slot) {
                const Place n = this->place(slot);
                this->recur(n);
                Vec<T> slopes[3];
                this->back(n, y, slopes);
                for (index_t l = 0; l < count; ++l) {
                    const index_t p = slots[slot * lanes + l];
                    for (index_t d = 0; p >= 0 && d < 3; ++d) out[3 * p + d] = slopes[d][l];
                }
            }
        }
    }

    // Derivatives of every component by the density, each where its places say.
    void every_adjoint() const {
        std::memset((void*)many, 0, s.width * sizeof(C));
        for (index_t g = 0; g < s.grads; ++g) {
            const int32_t* group = s.grad_groups + g * GROUP_FIELDS;
            const index_t level = begin[s.blocks[group[BLOCK] * BLOCK_FIELDS + J]];
            product(group, [&](index_t e, T weight, const C& z) {
                for (index_t k = group[FIRST_USE]; k < group[FIRST_USE + GROUP_FIELDS]; ++k) {
                    const T factor = weight * (T)(s.grad_factors[k] * s.norms[level + e]);
                    C& y = many[s.grad_uses[k * USE_FIELDS + OFFSET] + e];
                    y.r += factor * z.r, y.i += factor * z.i;
                }
            });
        }
    }

    void jacobian(T* out) const {
        for (index_t l = 0; l < count; ++l)
            std::fill(out + 3 * s.size * s.begins[first + l], out + 3 * s.size * s.begins[first + l + 1], T(0));
        every_adjoint();
        for (index_t c = 0; c < s.channels; ++c)
            for (index_t slot = slot_begin[c]; slot < slot_begin[c + 1]; ++slot) {
                const Place n = this->place(slot);
                this->recur(n);
                this->differentiate(n);
                for (index_t k = 0; k < s.size; ++k) {
                    Vec<T> slopes[3] = {};
                    for (index_t w = s.place_begins[k]; w < s.place_begins[k + 1]; ++w) {
                        const int32_t* own = s.places + 3 * w;
                        if (own[0] != c) continue;
                        const C *y = many + own[2], *t = tangents + begin[own[1]];
                        for (index_t e = 0; e < begin[own[1] + 1] - begin[own[1]]; ++e)
                            for (index_t d = 0; d < 3; ++d)
                                slopes[d] += y[e].r * t[d * half + e].r + y[e].i * t[d * half + e].i;
                    }
                    for (index_t l = 0; l < count; ++l) {
                        const index_t p = slots[slot * lanes + l];
                        for (index_t d = 0; p >= 0 && d < 3; ++d) out[(p * s.size + k) * 3 + d] = slopes[d][l];
                    }
                }
            }
    }
};

// Calls work(one thread's Work) for every block of atoms, with its neighbors gathered.
template <typename T, typename Run>
void blocks(const Shape& s, const T* vectors, bool jacobian, index_t threads, Run run) {
    const index_t lanes = Lanes<T>::count, count = (s.atoms + lanes - 1) / lanes;
#pragma omp parallel num_threads(threads)
    {
        Work<T> work(s, vectors, jacobian);
#pragma omp for schedule(dynamic, 1)
        for (index_t block = 0; block < count; ++block) {
            work.gather(block);
            run(work);
        }
    }
}

// Components `[atoms, size]`; the densities are kept.
template <typename T>
void forward(const Shape& s, const T* vectors, T* out, T* kept, index_t threads) {
    blocks<T>(s, vectors, false, threads, [&](Work<T>& work) {
        work.sum();
        work.save(work.density, kept);
        work.unfold();
        work.components(out);
    });
}

template <typename T>
void backward(const Shape& s, const T* vectors, const T* kept, const T* given, T* out, index_t threads) {
    blocks<T>(s, vectors, false, threads, [&](Work<T>& work) {
        work.load(work.density, kept);
        work.unfold();
        work.adjoints(given, false);
        work.pull(nullptr, out);
    });
}

template <typename T>
void jacobian(const Shape& s, const T* vectors, const T* kept, T* out, index_t threads) {
    blocks<T>(s, vectors, true, threads, [&](Work<T>& work) {
        work.load(work.density, kept);
        work.unfold();
        work.jacobian(out);
    });
}

// Sums of components times weights `[kinds, size]`, without those of a lone atom; derivatives by densities are kept.
template <typename T>
void linear(const Shape& s, const T* vectors, const T* weights, T* out, T* kept, index_t threads) {
    blocks<T>(s, vectors, false, threads, [&](Work<T>& work) {
        work.sum();
        work.unfold();
        work.adjoints(weights, true);
        work.save(work.adjoint, kept);
        const Vec<T> total = work.form();
        for (index_t l = 0; l < work.count; ++l) out[work.first + l] = total[l];
    });
}

template <typename T>
void linear_backward(const Shape& s, const T* vectors, const T* kept, const T* given, T* out, index_t threads) {
    blocks<T>(s, vectors, false, threads, [&](Work<T>& work) {
        work.load(work.adjoint, kept);
        work.pull(given, out);
    });
}

#define SHAPE                                                                                                    \
    index_t atoms, index_t kinds, index_t channels, index_t size, index_t top, index_t values, index_t grads,      \
        index_t width, index_t switching, const index_t *begins, const index_t *neighbors, const index_t *kind,    \
        const double *options, const double *pairs, const double *weights, const double *own, const double *norms, \
        const double *lone, const double *cg, const int32_t *channel, const int32_t *blocks,                       \
        const int32_t *value_groups, const int32_t *value_uses, const double *value_factors,                       \
        const int32_t *grad_groups, const int32_t *grad_uses, const double *grad_factors, const int32_t *places,   \
        const int32_t *place_begins
#define GIVEN                                                                                                     \
    Shape {                                                                                                       \
        atoms, kinds, channels, size, top, values, grads, width, switching, begins, neighbors, kind, options, pairs, \
            weights, own, norms, lone, cg, channel, blocks, value_groups, value_uses, grad_groups, grad_uses, places, \
            place_begins, value_factors, grad_factors                                                             \
    }
#define THREE(T) (SHAPE, const T* v, T* a, T* b, index_t threads)
EXPORT(forward, THREE, (GIVEN, v, a, b, threads))
#define JACOBIAN(T) (SHAPE, const T* v, const T* a, T* b, index_t threads)
EXPORT(jacobian, JACOBIAN, (GIVEN, v, a, b, threads))
#define FOUR(T) (SHAPE, const T* v, const T* a, const T* b, T* c, index_t threads)
EXPORT(backward, FOUR, (GIVEN, v, a, b, c, threads))
EXPORT(linear_backward, FOUR, (GIVEN, v, a, b, c, threads))
#define LINEAR(T) (SHAPE, const T* v, const T* a, T* b, T* c, index_t threads)
EXPORT(linear, LINEAR, (GIVEN, v, a, b, c, threads))
