// C = A B + bias or C += A B for tall A and small B of weights, packed beforehand (dense.py), at the speed of the
// vector units. BLAS libraries fall short of it: by checks and copies for few rows, and where they know only the
// vectors of another maker's processors.
#include "tiles.hpp"

template <typename T>
void product(index_t rows, index_t inner, index_t columns, index_t add, const T* a, const T* b, const T* bias, T* c,
             index_t threads) {
    const Product<T> q(inner, columns, add, a, b, bias, c);
#pragma omp parallel for num_threads(threads) if (rows > CHUNK)
    for (index_t begin = 0; begin < rows; begin += CHUNK)
        for (index_t column = 0; column < columns; column += PANEL<T>)
            tiles<T>(q, begin, std::min(begin + CHUNK, rows), column);
}

#define PRODUCT(T)                                                                                               \
    (index_t rows, index_t inner, index_t columns, index_t add, const T* a, const T* b, const T* bias, T* c, \
     index_t threads)
EXPORT(product, PRODUCT, (rows, inner, columns, add, a, b, bias, c, threads))

constexpr int LEFT = 8;             // columns of A that one tile of `cross` takes
constexpr index_t DEPTH = 256;      // rows of A and B that stay in the cache meanwhile

// L columns of A from `i` on times one packed panel of B, which begins at column `j`, added to C.
template <typename T, int L>
inline void cross_tile(index_t depth, index_t m, index_t n, const T* a, const T* packed, T* c, index_t i, index_t j) {
    typedef typename Block<T>::type V;
    constexpr index_t width = Block<T>::width, panel = PANEL<T>;
    V sums[L][VECTORS] = {};
    for (index_t r = 0; r < depth; ++r, packed += panel) {
        V right[VECTORS];
        for (int v = 0; v < VECTORS; ++v) right[v] = *(const V*)(packed + v * width);
#pragma GCC unroll 16
        for (int l = 0; l < L; ++l)
            for (int v = 0; v < VECTORS; ++v) sums[l][v] += a[r * m + i + l] * right[v];
    }
    for (int l = 0; l < L; ++l)
        for (index_t k = 0; k < std::min(panel, n - j); ++k) c[(i + l) * n + j + k] += sums[l][k / width][k % width];
}

template <typename T, int L = LEFT>
inline void cross_tiles(index_t depth, index_t m, index_t n, const T* a, const T* packed, T* c, index_t i, index_t end,
                        index_t j) {
    for (; i + L <= end; i += L) cross_tile<T, L>(depth, m, n, a, packed, c, i, j);
    if constexpr (L > 1)
        if (i < end) cross_tiles<T, L - 1>(depth, m, n, a, packed, c, i, end, j);
}

// C = A^T B for tall A `[rows, m]` and B `[rows, n]`: the gradient of a weight. `packed` has room for DEPTH rows of B.
template <typename T>
void cross(index_t rows, index_t m, index_t n, const T* a, const T* b, T* packed, T* c, index_t threads) {
    constexpr index_t panel = PANEL<T>;
    std::fill(c, c + m * n, T(0));
    for (index_t begin = 0; begin < rows; begin += DEPTH) {
        index_t depth = std::min(DEPTH, rows - begin);
        for (index_t j = 0; j < n; j += panel)
            for (index_t r = 0; r < depth; ++r)
                for (index_t k = 0; k < panel; ++k)
                    packed[j * DEPTH + r * panel + k] = j + k < n ? b[(begin + r) * n + j + k] : T(0);
#pragma omp parallel for num_threads(threads) if (threads > 1)
        for (index_t i = 0; i < m; i += 2 * LEFT)
            for (index_t j = 0; j < n; j += panel)
                cross_tiles<T>(depth, m, n, a + begin * m, packed + j * DEPTH, c, i, std::min(i + 2 * LEFT, m), j);
    }
}

#define CROSS(T) \
    (index_t rows, index_t m, index_t n, const T* a, const T* b, T* packed, T* c, index_t threads)
EXPORT(cross, CROSS, (rows, m, n, a, b, packed, c, threads))

// Columns of a panel: the layout in which `product` wants B.
extern "C" void panel_f32(index_t* columns, index_t) { *columns = PANEL<float>; }
extern "C" void panel_f64(index_t* columns, index_t) { *columns = PANEL<double>; }
// Elements that `cross` needs to pack `columns` columns of B.
extern "C" void room_f32(index_t columns, index_t* room, index_t) { *room = (columns + PANEL<float>) * DEPTH; }
extern "C" void room_f64(index_t columns, index_t* room, index_t) { *room = (columns + PANEL<double>) * DEPTH; }
