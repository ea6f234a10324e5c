// z_k = sum over terms (i, j, k) of t x_i y_j for the components of an atom, channel by channel (bilinear.py).
#include "common.hpp"

// What the loops walk by instead of a Block: one channel of an incomplete last block.
template <typename T>
struct Single {
    typedef T type;
};

constexpr index_t LARGEST = 16;  // components of x, y and z

template <typename T>
struct Problem {
    index_t atoms, channels, x, y, z, terms;  // x, y, z: how many components
    const index_t* places;                    // i, j and k of each term
    const T* values;                          // t
};

template <typename B, typename T>
inline typename B::type& at(T* place) { return *(typename B::type*)place; }
template <typename B, typename T>
inline const typename B::type& at(const T* place) { return *(const typename B::type*)place; }

template <typename B, typename T>
inline void push(const Problem<T>& q, const T* x, const T* y, T* z) {
    typedef typename B::type V;
    V sums[LARGEST] = {};
    const index_t *place = q.places, n = q.channels;
    for (index_t t = 0; t < q.terms; ++t, place += 3)
        sums[place[2]] += q.values[t] * at<B>(x + place[0] * n) * at<B>(y + place[1] * n);
    for (index_t k = 0; k < q.z; ++k) at<B>(z + k * n) = sums[k];
}

template <typename B, typename T>
inline void pull(const Problem<T>& q, const T* x, const T* y, const T* g, T* gx, T* gy) {
    typedef typename B::type V;
    V of_x[LARGEST] = {}, of_y[LARGEST] = {};
    const index_t *place = q.places, n = q.channels;
    for (index_t t = 0; t < q.terms; ++t, place += 3) {
        V given = q.values[t] * at<B>(g + place[2] * n);
        of_x[place[0]] += given * at<B>(y + place[1] * n);
        of_y[place[1]] += given * at<B>(x + place[0] * n);
    }
    for (index_t k = 0; k < q.x; ++k) at<B>(gx + k * n) = of_x[k];
    for (index_t k = 0; k < q.y; ++k) at<B>(gy + k * n) = of_y[k];
}

#define EACH_CHANNEL(body)                                                                     \
    _Pragma("omp parallel for num_threads(threads)") for (index_t a = 0; a < q.atoms; ++a) {   \
        index_t c = 0, i = a * q.x * q.channels, j = a * q.y * q.channels, k = a * q.z * q.channels; \
        for (; c + Block<T>::width <= q.channels; c += Block<T>::width) body(Block<T>);        \
        for (; c < q.channels; ++c) body(Single<T>);                                           \
    }

template <typename T>
void forward(Problem<T> q, const T* x, const T* y, T* z, index_t threads) {
#define BODY(B) push<B>(q, x + i + c, y + j + c, z + k + c)
    EACH_CHANNEL(BODY)
#undef BODY
}
template <typename T>
void backward(Problem<T> q, const T* x, const T* y, const T* g, T* gx, T* gy, index_t threads) {
#define BODY(B) pull<B>(q, x + i + c, y + j + c, g + k + c, gx + i + c, gy + j + c)
    EACH_CHANNEL(BODY)
#undef BODY
}

#define FORWARD(T)                                                                                                \
    (index_t atoms, index_t channels, index_t nx, index_t ny, index_t nz, index_t terms, const index_t* places, \
     const T* values, const T* x, const T* y, T* z, index_t threads)
EXPORT(forward, FORWARD, ({atoms, channels, nx, ny, nz, terms, places, values}, x, y, z, threads))
#define BACKWARD(T)                                                                                               \
    (index_t atoms, index_t channels, index_t nx, index_t ny, index_t nz, index_t terms, const index_t* places, \
     const T* values, const T* x, const T* y, const T* g, T* gx, T* gy, index_t threads)
EXPORT(backward, BACKWARD, ({atoms, channels, nx, ny, nz, terms, places, values}, x, y, g, gx, gy, threads))
