// Neighbors of one center within a reach, sorted by element, each element's filled up to whole vectors with ones out of
// reach.
#pragma once
#include <algorithm>
#include <cmath>
#include <vector>

#include "lanes.hpp"

template <typename T>
struct ByElement {
    static constexpr int lanes = Lanes<T>::count;
    T *x, *y, *z, *r, *inverse;              // room for all neighbors and a vector of each element
    std::vector<index_t> pair, first, last;  // pair of each place; begin and end of each element's places

    explicit ByElement(index_t kinds) : first(kinds + 1), last(kinds) {}

    template <typename Problem>
    void sort(const Problem& q, index_t i, T reach) {
        std::fill(last.begin(), last.end(), 0);
        const T limit = reach * reach;
        auto square = [&](index_t p) {
            const T* v = q.vectors + 3 * p;
            return v[0] * v[0] + v[1] * v[1] + v[2] * v[2];
        };
        for (index_t p = q.begins[i]; p < q.begins[i + 1]; ++p)
            if (square(p) < limit) ++last[q.kind[q.neighbors[p]]];
        first[0] = 0;
        for (index_t a = 0; a < q.kinds; ++a) {
            first[a + 1] = first[a] + (last[a] + lanes - 1) / lanes * lanes;
            for (index_t k = first[a] + last[a]; k < first[a + 1]; ++k) x[k] = y[k] = z[k] = 0, r[k] = 1e6;
            last[a] = first[a];
        }
        for (index_t p = q.begins[i]; p < q.begins[i + 1]; ++p) {
            const T s = square(p);
            if (!(s < limit)) continue;
            const index_t k = last[q.kind[q.neighbors[p]]]++;
            const T* v = q.vectors + 3 * p;
            x[k] = v[0], y[k] = v[1], z[k] = v[2], r[k] = std::sqrt(s), pair[k] = p;
        }
        for (index_t k = 0; k < first[q.kinds]; k += lanes) at(inverse + k) = 1 / at(r + k);
    }
};
