// psi[i, m, w] = sum over pairs p = (i, j) of Y_m(v_p) R_w(r_p) c[j, w] with monomials Y and R from a table of the
// neighbor's element (embedded_density.py). Waves are walked 64 bytes at a time; the caller pads them to whole blocks.
#include "lanes.hpp"

constexpr int LARGEST = 35;  // monomials up to degree 4

template <typename T>
struct Problem {
    index_t atoms, waves, monomials;
    const int32_t* parents;  // which monomial and which component each is the product of
    const T* roots;          // factor of each monomial
    const T *vectors, *coefficients, *table;
    const index_t* kinds;
    index_t intervals;
    double start, stop, inverse_step;

    // Monomials, and with `slopes` their derivatives, of one pair; returns the distance.
    T shapes(index_t p, T* y, T* slopes) const {
        const T* v = vectors + 3 * p;
        y[0] = 1;
        if (slopes) slopes[0] = slopes[1] = slopes[2] = 0;
        for (index_t m = 1; m < monomials; ++m) {
            const index_t from = parents[2 * m], axis = parents[2 * m + 1];
            y[m] = y[from] * v[axis];
            if (!slopes) continue;
            for (int k = 0; k < 3; ++k) slopes[3 * m + k] = slopes[3 * from + k] * v[axis];
            slopes[3 * m + axis] += y[from];
        }
        return std::sqrt(v[0] * v[0] + v[1] * v[1] + v[2] * v[2]);
    }
    const T* polynomials(index_t neighbor, index_t interval) const {
        return table + (kinds[neighbor] * intervals + interval) * 4 * waves;
    }
};

template <typename T>
void forward(const Problem<T>& q, const index_t* begins, const index_t* neighbors, T* psi, index_t threads) {
    typedef typename Block<T>::type V;
#pragma omp parallel for num_threads(threads) schedule(dynamic, 16)
    for (index_t i = 0; i < q.atoms; ++i) {
        T* out = psi + i * q.monomials * q.waves;
        std::fill(out, out + q.monomials * q.waves, T(0));
        for (index_t p = begins[i]; p < begins[i + 1]; ++p) {
            T y[LARGEST];
            const T r = q.shapes(p, y, nullptr);
            if (r >= q.stop) continue;
            for (index_t m = 0; m < q.monomials; ++m) y[m] *= q.roots[m];
            const Knot<T> knot(r, q.start, q.inverse_step, q.intervals);
            const T *a = q.polynomials(neighbors[p], knot.interval), *c = q.coefficients + neighbors[p] * q.waves;
            const T u = knot.u;
            for (index_t w = 0; w < q.waves; w += Block<T>::width) {
                V f = *(V*)(a + w) + u * (*(V*)(a + q.waves + w) +
                      u * (*(V*)(a + 2 * q.waves + w) + u * *(V*)(a + 3 * q.waves + w)));
                f *= *(V*)(c + w);
                for (index_t m = 0; m < q.monomials; ++m) *(V*)(out + m * q.waves + w) += y[m] * f;
            }
        }
    }
}

// Runs over the pairs of each neighbor j, so that no two threads write to one place: `order` lists the pairs sorted by
// neighbor, `begins` where each neighbor's start.
template <typename T>
void backward(const Problem<T>& q, const index_t* begins, const index_t* order, const index_t* centers, const T* gpsi,
              T* gvectors, T* gcoefficients, index_t threads) {
    typedef typename Block<T>::type V;
#pragma omp parallel for num_threads(threads) schedule(dynamic, 16)
    for (index_t j = 0; j < q.atoms; ++j) {
        T* gc = gcoefficients + j * q.waves;
        const T* c = q.coefficients + j * q.waves;
        std::fill(gc, gc + q.waves, T(0));
        for (index_t o = begins[j]; o < begins[j + 1]; ++o) {
            const index_t p = order[o];
            T y[LARGEST], slopes[3 * LARGEST], *gv = gvectors + 3 * p;
            const T r = q.shapes(p, y, slopes);
            gv[0] = gv[1] = gv[2] = 0;
            if (r >= q.stop) continue;
            const Knot<T> knot(r, q.start, q.inverse_step, q.intervals);
            const T *a = q.polynomials(j, knot.interval), *g = gpsi + centers[p] * q.monomials * q.waves;
            const T u = knot.u;
            V along = {}, sums[LARGEST];
            for (index_t m = 0; m < q.monomials; ++m) sums[m] = V{};
            for (index_t w = 0; w < q.waves; w += Block<T>::width) {
                V a1 = *(V*)(a + q.waves + w), a2 = *(V*)(a + 2 * q.waves + w), a3 = *(V*)(a + 3 * q.waves + w);
                V f = *(V*)(a + w) + u * (a1 + u * (a2 + u * a3)), df = a1 + u * (T(2) * a2 + T(3) * u * a3);
                V own = *(V*)(c + w), total = {}, fc = f * own;
                for (index_t m = 0; m < q.monomials; ++m) {
                    V grad = q.roots[m] * *(V*)(g + m * q.waves + w);
                    total += y[m] * grad;
                    sums[m] += fc * grad;
                }
                *(V*)(gc + w) += f * total;
                along += df * own * total;
            }
            along *= knot.slope / r;
            for (int k = 0; k < 3; ++k) {
                V total = along * q.vectors[3 * p + k];
                for (index_t m = 1; m < q.monomials; ++m) total += sums[m] * slopes[3 * m + k];
                gv[k] = sum<T>(total);
            }
        }
    }
}

#define PROBLEM(T)                                                                                            \
    index_t n, index_t waves, index_t monomials, const int32_t *parents, const T *roots, const T *v, const T *c, \
        const T *table, const index_t *kinds, index_t intervals, double start, double stop, double step
#define GIVEN {n, waves, monomials, parents, roots, v, c, table, kinds, intervals, start, stop, step}

#define FORWARD(T) (PROBLEM(T), const index_t* b, const index_t* j, T* psi, index_t threads)
EXPORT(forward, FORWARD, (GIVEN, b, j, psi, threads))

#define BACKWARD(T) \
    (PROBLEM(T), const index_t* b, const index_t* o, const index_t* i, const T* g, T* gv, T* gc, index_t threads)
EXPORT(backward, BACKWARD, (GIVEN, b, o, i, g, gv, gc, threads))
