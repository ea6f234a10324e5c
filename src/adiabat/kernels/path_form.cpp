// The derivatives of the form over slots s = (i, j), paths p, components m, n and channels c (path_form.py):
// sum of g[i,n,c] L[s,m,n] x[j,m,c] R[s,p,c].
#include "common.hpp"

struct Path {
    index_t x, parts_in, g, parts_out, l;  // where its components begin in x, g and L, and how many there are
};

// Shapes: atoms, width of a row of slots, components of x and g, columns of L, paths, channels.
struct Sizes {
    index_t atoms, width, in, out, columns, paths, channels;
};

template <typename T>
using Vec = typename Block<T>::type;

template <typename T>
inline Vec<T> load(const T* p) {
    return *(const Vec<T>*)p;
}

template <typename T>
inline T total(const Vec<T>& v) {
    T part[Block<T>::width];
    for (index_t w = 0; w < Block<T>::width; ++w) part[w] = v[w];
#pragma GCC unroll 4
    for (index_t half = Block<T>::width / 2; half; half /= 2)
        for (index_t w = 0; w < half; ++w) part[w] += part[w + half];
    return part[0];
}

// Calls f with the number of components of a feature as a constant, so that loops over it are unrolled.
template <typename F>
inline void unrolled(index_t parts, const F& f) {
    switch (parts) {
        case 1: return f(std::integral_constant<int, 1>());
        case 3: return f(std::integral_constant<int, 3>());
        case 5: return f(std::integral_constant<int, 5>());
        default: return f(std::integral_constant<int, 7>());
    }
}

// sum over n of L[m,n] g[n] for one path and one block of channels
template <typename T, int M>
inline void pulled(const Path& path, const T* l, const T* g, index_t channels, Vec<T>* u) {
    for (int m = 0; m < M; ++m) u[m] = Vec<T>{};
    for (index_t n = 0; n < path.parts_out; ++n) {
        const Vec<T> slope = load(g + (path.g + n) * channels);
#pragma GCC unroll 8
        for (int m = 0; m < M; ++m) u[m] += slope * l[path.l + m * path.parts_out + n];
    }
}

// By g: each atom's sums stay in the nearest cache.
template <typename T>
void path_sum(const index_t* sizes, const index_t* table_of_paths, const index_t* neighbors, const T* l, const T* x,
              const T* r, T* y, index_t threads) {
    const Sizes& size = *(const Sizes*)sizes;
    const Path* paths = (const Path*)table_of_paths;
    const index_t channels = size.channels;
#pragma omp parallel num_threads(threads)
    {
        std::vector<T> room(size.out * Block<T>::width);
#pragma omp for schedule(dynamic, 4)
        for (index_t i = 0; i < size.atoms; ++i)
            for (index_t c = 0; c < channels; c += Block<T>::width) {
                std::fill(room.begin(), room.end(), T(0));
                for (index_t s = i * size.width; s < (i + 1) * size.width; ++s) {
                    const T* from = x + neighbors[s] * size.in * channels + c;
                    for (index_t p = 0; p < size.paths; ++p) {
                        const Path path = paths[p];
                        const Vec<T> weight = load(r + (s * size.paths + p) * channels + c);
                        const T* left = l + s * size.columns + path.l;
                        unrolled(path.parts_in, [&](auto parts) {
                            constexpr int M = decltype(parts)::value;
                            Vec<T> t[M];
                            for (int m = 0; m < M; ++m) t[m] = weight * load(from + (path.x + m) * channels);
                            for (index_t n = 0; n < path.parts_out; ++n) {
                                Vec<T>& to = *(Vec<T>*)(room.data() + (path.g + n) * Block<T>::width);
                                Vec<T> sum = to;
#pragma GCC unroll 8
                                for (int m = 0; m < M; ++m) sum += t[m] * left[m * path.parts_out + n];
                                to = sum;
                            }
                        });
                    }
                }
                for (index_t n = 0; n < size.out; ++n)
                    *(Vec<T>*)(y + (i * size.out + n) * channels + c) = load(room.data() + n * Block<T>::width);
            }
    }
}

// By L.
template <typename T>
void path_couplings(const index_t* sizes, const index_t* table_of_paths, const index_t* neighbors, const T* g,
                    const T* x, const T* r, T* y, index_t threads) {
    const Sizes& size = *(const Sizes*)sizes;
    const Path* paths = (const Path*)table_of_paths;
    const index_t channels = size.channels;
#pragma omp parallel for num_threads(threads) schedule(static)
    for (index_t s = 0; s < size.atoms * size.width; ++s) {
        const T* from = x + neighbors[s] * size.in * channels;
        const T* slopes = g + s / size.width * size.out * channels;
        for (index_t p = 0; p < size.paths; ++p) {
            const Path path = paths[p];
            T* to = y + s * size.columns + path.l;
            unrolled(path.parts_in, [&](auto parts) {
                constexpr int M = decltype(parts)::value;
                for (index_t n = 0; n < path.parts_out; ++n) {
                    Vec<T> sum[M];
                    for (int m = 0; m < M; ++m) sum[m] = Vec<T>{};
                    for (index_t c = 0; c < channels; c += Block<T>::width) {
                        const Vec<T> both = load(r + (s * size.paths + p) * channels + c) *
                                            load(slopes + (path.g + n) * channels + c);
#pragma GCC unroll 8
                        for (int m = 0; m < M; ++m) sum[m] += both * load(from + (path.x + m) * channels + c);
                    }
                    for (int m = 0; m < M; ++m) to[m * path.parts_out + n] = total<T>(sum[m]);
                }
            });
        }
    }
}

// By x: threads share the channels, so that no two write to one place.
template <typename T>
void path_features(const index_t* sizes, const index_t* table_of_paths, const index_t* neighbors, const T* g,
                   const T* l, const T* r, T* y, index_t threads) {
    const Sizes& size = *(const Sizes*)sizes;
    const Path* paths = (const Path*)table_of_paths;
    const index_t channels = size.channels;
    std::fill(y, y + size.atoms * size.in * channels, T(0));
#pragma omp parallel for num_threads(threads) schedule(static)
    for (index_t c = 0; c < channels; c += Block<T>::width)
        for (index_t s = 0; s < size.atoms * size.width; ++s) {
            T* to = y + neighbors[s] * size.in * channels + c;
            const T* slopes = g + s / size.width * size.out * channels + c;
            for (index_t p = 0; p < size.paths; ++p) {
                const Path path = paths[p];
                const Vec<T> weight = load(r + (s * size.paths + p) * channels + c);
                unrolled(path.parts_in, [&](auto parts) {
                    constexpr int M = decltype(parts)::value;
                    Vec<T> u[M];
                    pulled<T, M>(path, l + s * size.columns, slopes, channels, u);
                    for (int m = 0; m < M; ++m) *(Vec<T>*)(to + (path.x + m) * channels) += weight * u[m];
                });
            }
        }
}

// By R.
template <typename T>
void path_weights(const index_t* sizes, const index_t* table_of_paths, const index_t* neighbors, const T* g,
                  const T* l, const T* x, T* y, index_t threads) {
    const Sizes& size = *(const Sizes*)sizes;
    const Path* paths = (const Path*)table_of_paths;
    const index_t channels = size.channels;
#pragma omp parallel for num_threads(threads) schedule(static)
    for (index_t s = 0; s < size.atoms * size.width; ++s) {
        const T* from = x + neighbors[s] * size.in * channels;
        const T* slopes = g + s / size.width * size.out * channels;
        for (index_t p = 0; p < size.paths; ++p) {
            const Path path = paths[p];
            unrolled(path.parts_in, [&](auto parts) {
                constexpr int M = decltype(parts)::value;
                for (index_t c = 0; c < channels; c += Block<T>::width) {
                    Vec<T> u[M], sum = {};
                    pulled<T, M>(path, l + s * size.columns, slopes + c, channels, u);
                    for (int m = 0; m < M; ++m) sum += u[m] * load(from + (path.x + m) * channels + c);
                    *(Vec<T>*)(y + (s * size.paths + p) * channels + c) = sum;
                }
            });
        }
    }
}

typedef const index_t* idx;

#define ARGUMENTS(T) (idx n, idx p, idx j, const T* a, const T* b, const T* c, T* y, index_t t)
EXPORT(path_sum, ARGUMENTS, (n, p, j, a, b, c, y, t))
EXPORT(path_couplings, ARGUMENTS, (n, p, j, a, b, c, y, t))
EXPORT(path_features, ARGUMENTS, (n, p, j, a, b, c, y, t))
EXPORT(path_weights, ARGUMENTS, (n, p, j, a, b, c, y, t))
