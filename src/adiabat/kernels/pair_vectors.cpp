// Vectors of pairs from positions, the way back, and where the pairs of each atom are (pair_vectors.py).
#include "common.hpp"

// r_j + shift·cell − r_i of every pair
template <typename T>
void vectors(index_t pairs, const index_t* centers, const index_t* neighbors, const index_t* shifts,
             const index_t* system, const T* positions, const T* cells, T* made, index_t threads) {
#pragma omp parallel for num_threads(threads) if (pairs > 16384)
    for (index_t p = 0; p < pairs; ++p) {
        const T *from = positions + 3 * centers[p], *to = positions + 3 * neighbors[p];
        const index_t* s = shifts + 3 * p;
        T* own = made + 3 * p;
        for (int k = 0; k < 3; ++k) own[k] = to[k] - from[k];
        if (!(s[0] | s[1] | s[2])) continue;
        const T* cell = cells + 9 * system[centers[p]];
        for (int k = 0; k < 3; ++k) own[k] += (T)s[0] * cell[k] + (T)s[1] * cell[3 + k] + (T)s[2] * cell[6 + k];
    }
}

// gradient of each position: of the vectors that end at it, less those that begin there
template <typename T>
void positions(index_t atoms, const index_t* begins, const index_t* order, const index_t* order_begins,
               const T* gradients, T* made, index_t threads) {
#pragma omp parallel for num_threads(threads) if (begins[atoms] > 16384)
    for (index_t i = 0; i < atoms; ++i) {
        T total[3] = {};
        for (index_t k = order_begins[i]; k < order_begins[i + 1]; ++k)
            for (int l = 0; l < 3; ++l) total[l] += gradients[3 * order[k] + l];
        for (index_t p = begins[i]; p < begins[i + 1]; ++p)
            for (int l = 0; l < 3; ++l) total[l] -= gradients[3 * p + l];
        for (int l = 0; l < 3; ++l) made[3 * i + l] = total[l];
    }
}

// gradient of each cell
template <typename T>
void cells(index_t pairs, index_t systems, const index_t* centers, const index_t* shifts, const index_t* system,
           const T* gradients, T* made, index_t) {
    std::fill(made, made + 9 * systems, T(0));
    for (index_t p = 0; p < pairs; ++p) {
        const index_t* s = shifts + 3 * p;
        if (!(s[0] | s[1] | s[2])) continue;
        T* own = made + 9 * system[centers[p]];
        for (int k = 0; k < 3; ++k)
            for (int l = 0; l < 3; ++l) own[3 * k + l] += (T)s[k] * gradients[3 * p + l];
    }
}

static void bounds(index_t atoms, index_t pairs, const index_t* owner, index_t* begins) {
    std::fill(begins, begins + atoms + 1, 0);
    for (index_t p = 0; p < pairs; ++p) ++begins[owner[p] + 1];
    for (index_t i = 0; i < atoms; ++i) begins[i + 1] += begins[i];
}

// first pairs of centers; pairs sorted by neighbor, otherwise as they come, and where those of each begin
extern "C" void sort_pairs(index_t atoms, index_t pairs, const index_t* centers, const index_t* neighbors,
                           index_t* begins, index_t* order, index_t* order_begins, index_t) {
    bounds(atoms, pairs, centers, begins);
    bounds(atoms, pairs, neighbors, order_begins);
    std::vector<index_t> next(order_begins, order_begins + atoms);
    for (index_t p = 0; p < pairs; ++p) order[next[neighbors[p]]++] = p;
}

#define VECTORS(T)                                                                                                  \
    (index_t pairs, const index_t* centers, const index_t* neighbors, const index_t* shifts, const index_t* system, \
     const T* r, const T* cell, T* made, index_t threads)
#define POSITIONS(T)                                                                                     \
    (index_t atoms, const index_t* begins, const index_t* order, const index_t* order_begins, const T* g, \
     T* made, index_t threads)
#define CELLS(T)                                                                                                   \
    (index_t pairs, index_t systems, const index_t* centers, const index_t* shifts, const index_t* system, const T* g, \
     T* made, index_t threads)
EXPORT(vectors, VECTORS, (pairs, centers, neighbors, shifts, system, r, cell, made, threads))
EXPORT(positions, POSITIONS, (atoms, begins, order, order_begins, g, made, threads))
EXPORT(cells, CELLS, (pairs, systems, centers, shifts, system, g, made, threads))
