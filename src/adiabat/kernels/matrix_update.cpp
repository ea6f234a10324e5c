// Products of 3 x 3 matrices in TensorNet's layers (matrix_update.py), channel by channel. Matrices come as coordinates
// of their parts in the orthonormal basis of matrix_parts.py: arrays of 1, 3 and 5 rows of channels for each atom.
#include "common.hpp"

// What the loops walk by instead of a Block: one channel of an incomplete last block.
template <typename T>
struct Single {
    typedef T type;
};

// The parts of one tensor.
template <typename T>
struct Parts {
    T* part[3];
};

template <typename B, typename T>
inline typename B::type& at(T* place) { return *(typename B::type*)place; }
template <typename B, typename T>
inline const typename B::type& at(const T* place) { return *(const typename B::type*)place; }

template <typename V>
struct Matrix {
    V e[9];  // row by row
};

// The matrix of nine coordinates, and the coordinates of a matrix: one is the transpose of the other.
template <typename B, typename T>
inline Matrix<typename B::type> load(const Parts<const T>& x, index_t i, index_t n, index_t c) {
    typedef typename B::type V;
    const T *one = x.part[0] + i * n + c, *three = x.part[1] + 3 * i * n + c, *five = x.part[2] + 5 * i * n + c;
    const T third = T(0.57735026918962576451), half = T(0.70710678118654752440), sixth = T(0.40824829046386301637);
    V t = third * at<B>(one);
    V ax = half * at<B>(three), ay = half * at<B>(three + n), az = half * at<B>(three + 2 * n);
    V xz = half * at<B>(five), xy = half * at<B>(five + n), u = sixth * at<B>(five + 2 * n);
    V yz = half * at<B>(five + 3 * n), w = half * at<B>(five + 4 * n);
    return {{t - u - w, xy - az, xz + ay, xy + az, t + u + u, yz - ax, xz - ay, yz + ax, t - u + w}};
}
template <typename B, typename T>
inline void store(const Matrix<typename B::type>& m, const Parts<T>& x, index_t i, index_t n, index_t c) {
    T *one = x.part[0] + i * n + c, *three = x.part[1] + 3 * i * n + c, *five = x.part[2] + 5 * i * n + c;
    const T third = T(0.57735026918962576451), half = T(0.70710678118654752440), sixth = T(0.40824829046386301637);
    at<B>(one) = third * (m.e[0] + m.e[4] + m.e[8]);
    at<B>(three) = half * (m.e[7] - m.e[5]);
    at<B>(three + n) = half * (m.e[2] - m.e[6]);
    at<B>(three + 2 * n) = half * (m.e[3] - m.e[1]);
    at<B>(five) = half * (m.e[2] + m.e[6]);
    at<B>(five + n) = half * (m.e[1] + m.e[3]);
    at<B>(five + 2 * n) = sixth * (m.e[4] + m.e[4] - m.e[0] - m.e[8]);
    at<B>(five + 3 * n) = half * (m.e[5] + m.e[7]);
    at<B>(five + 4 * n) = half * (m.e[8] - m.e[0]);
}

// A B, A B^T or A^T B.
template <bool left, bool right, typename V>
inline Matrix<V> times(const Matrix<V>& a, const Matrix<V>& b) {
    Matrix<V> c;
    for (int i = 0; i < 3; ++i)
        for (int k = 0; k < 3; ++k) {
            V sum = (left ? a.e[i] : a.e[3 * i]) * (right ? b.e[3 * k] : b.e[k]);
            for (int j = 1; j < 3; ++j) sum += (left ? a.e[3 * j + i] : a.e[3 * i + j]) * (right ? b.e[3 * k + j] : b.e[3 * j + k]);
            c.e[3 * i + k] = sum;
        }
    return c;
}
template <typename V>
inline V dot(const Matrix<V>& a, const Matrix<V>& b) {
    V sum = a.e[0] * b.e[0];
    for (int k = 1; k < 9; ++k) sum += a.e[k] * b.e[k];
    return sum;
}
template <typename V, typename S>
inline Matrix<V> sum(const Matrix<V>& a, const Matrix<V>& b, S factor) {
    Matrix<V> c;
    for (int k = 0; k < 9; ++k) c.e[k] = (a.e[k] + b.e[k]) * factor;
    return c;
}

// x / (|x|^2 + 1), and the gradient of x from that of the result.
template <typename V, typename T>
inline Matrix<V> normalized(const Matrix<V>& x, T one) {
    V factor = one / (dot(x, x) + one);
    Matrix<V> y;
    for (int k = 0; k < 9; ++k) y.e[k] = x.e[k] * factor;
    return y;
}
template <typename V, typename T>
inline Matrix<V> pull_normalized(const Matrix<V>& x, const Matrix<V>& g, T one) {
    V factor = one / (dot(x, x) + one), along = T(2) * factor * factor * dot(x, g);
    Matrix<V> y;
    for (int k = 0; k < 9; ++k) y.e[k] = g.e[k] * factor - along * x.e[k];
    return y;
}

// a (Y M + M Y), or 2 Y M.
template <typename V, typename T>
inline Matrix<V> product(const Matrix<V>& m, const Matrix<V>& y, bool mirror, T a) {
    Matrix<V> ym = times<false, false>(y, m);
    return mirror ? sum(ym, times<false, false>(m, y), a) : sum(ym, ym, T(1));
}

#define EACH_CHANNEL(body)                                                                 \
    _Pragma("omp parallel for num_threads(threads)") for (index_t i = 0; i < atoms; ++i) { \
        index_t c = 0;                                                                     \
        for (; c + Block<T>::width <= n; c += Block<T>::width) body(Block<T>);             \
        for (; c < n; ++c) body(Single<T>);                                                \
    }

template <typename T>
void normalize(index_t atoms, index_t n, Parts<const T> x, Parts<T> made, index_t threads) {
#define BODY(B) store<B>(normalized(load<B>(x, i, n, c), T(1)), made, i, n, c)
    EACH_CHANNEL(BODY)
#undef BODY
}
template <typename T>
void pull_normalize(index_t atoms, index_t n, Parts<const T> x, Parts<const T> g, Parts<T> made, index_t threads) {
#define BODY(B) store<B>(pull_normalized(load<B>(x, i, n, c), load<B>(g, i, n, c), T(1)), made, i, n, c)
    EACH_CHANNEL(BODY)
#undef BODY
}

// The product of M and Y, normalized.
template <typename T>
void combine(index_t atoms, index_t n, index_t mirror, Parts<const T> m, Parts<const T> y, const T* growth,
             Parts<T> made, index_t threads) {
#define BODY(B) \
    store<B>(normalized(product(load<B>(m, i, n, c), load<B>(y, i, n, c), mirror, growth[i]), T(1)), made, i, n, c)
    EACH_CHANNEL(BODY)
#undef BODY
}
template <typename B, typename T>
inline void pull_product(index_t i, index_t n, index_t c, bool mirror, T a, const Parts<const T>& pm,
                         const Parts<const T>& py, const Parts<const T>& pg, const Parts<T>& gm, const Parts<T>& gy) {
    auto m = load<B>(pm, i, n, c), y = load<B>(py, i, n, c);
    auto g = pull_normalized(product(m, y, mirror, a), load<B>(pg, i, n, c), T(1));
    auto of_y = times<false, true>(g, m), of_m = times<true, false>(y, g);
    if (mirror) {
        store<B>(sum(of_m, times<false, true>(g, y), a), gm, i, n, c);
        store<B>(sum(of_y, times<true, false>(m, g), a), gy, i, n, c);
    } else {
        store<B>(sum(of_m, of_m, T(1)), gm, i, n, c);
        store<B>(sum(of_y, of_y, T(1)), gy, i, n, c);
    }
}
template <typename T>
void pull_combine(index_t atoms, index_t n, index_t mirror, Parts<const T> m, Parts<const T> y, const T* growth,
                  Parts<const T> g, Parts<T> gm, Parts<T> gy, index_t threads) {
#define BODY(B) pull_product<B>(i, n, c, mirror, growth[i], m, y, g, gm, gy)
    EACH_CHANNEL(BODY)
#undef BODY
}

// X + D + a D D.
template <typename B, typename T>
inline void add(index_t i, index_t n, index_t c, T a, const Parts<const T>& px, const Parts<const T>& pd,
                const Parts<T>& made) {
    auto d = load<B>(pd, i, n, c), x = sum(load<B>(px, i, n, c), d, T(1)), square = times<false, false>(d, d);
    for (int k = 0; k < 9; ++k) x.e[k] += a * square.e[k];
    store<B>(x, made, i, n, c);
}
template <typename T>
void renew(index_t atoms, index_t n, Parts<const T> x, Parts<const T> d, const T* growth, Parts<T> made,
           index_t threads) {
#define BODY(B) add<B>(i, n, c, growth[i], x, d, made)
    EACH_CHANNEL(BODY)
#undef BODY
}
// Gradient of D; that of X is the given one.
template <typename B, typename T>
inline void pull_add(index_t i, index_t n, index_t c, T a, const Parts<const T>& pd, const Parts<const T>& pg,
                     const Parts<T>& made) {
    auto d = load<B>(pd, i, n, c), g = load<B>(pg, i, n, c);
    auto both = sum(times<false, true>(g, d), times<true, false>(d, g), a);
    store<B>(sum(g, both, T(1)), made, i, n, c);
}
template <typename T>
void pull_renew(index_t atoms, index_t n, Parts<const T> d, const T* growth, Parts<const T> g, Parts<T> made,
                index_t threads) {
#define BODY(B) pull_add<B>(i, n, c, growth[i], d, g, made)
    EACH_CHANNEL(BODY)
#undef BODY
}

#define IN(T, x) const T *x##0, const T *x##1, const T *x##2
#define OUT(T, x) T *x##0, T *x##1, T *x##2
#define P(x) {{x##0, x##1, x##2}}
#define NORMALIZE(T) (index_t atoms, index_t n, IN(T, x), OUT(T, made), index_t threads)
EXPORT(normalize, NORMALIZE, (atoms, n, P(x), P(made), threads))
#define PULL_NORMALIZE(T) (index_t atoms, index_t n, IN(T, x), IN(T, g), OUT(T, made), index_t threads)
EXPORT(pull_normalize, PULL_NORMALIZE, (atoms, n, P(x), P(g), P(made), threads))
#define COMBINE(T) \
    (index_t atoms, index_t n, index_t mirror, IN(T, m), IN(T, y), const T* growth, OUT(T, made), index_t threads)
EXPORT(combine, COMBINE, (atoms, n, mirror, P(m), P(y), growth, P(made), threads))
#define PULL_COMBINE(T)                                                                                     \
    (index_t atoms, index_t n, index_t mirror, IN(T, m), IN(T, y), const T* growth, IN(T, g), OUT(T, gm), \
     OUT(T, gy), index_t threads)
EXPORT(pull_combine, PULL_COMBINE, (atoms, n, mirror, P(m), P(y), growth, P(g), P(gm), P(gy), threads))
#define RENEW(T) (index_t atoms, index_t n, IN(T, x), IN(T, d), const T* growth, OUT(T, made), index_t threads)
EXPORT(renew, RENEW, (atoms, n, P(x), P(d), growth, P(made), threads))
#define PULL_RENEW(T) (index_t atoms, index_t n, IN(T, d), const T* growth, IN(T, g), OUT(T, made), index_t threads)
EXPORT(pull_renew, PULL_RENEW, (atoms, n, P(d), growth, P(g), P(made), threads))
