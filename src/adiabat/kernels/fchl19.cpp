// FCHL19: two- and three-body terms on grids of distances, their gradient and their Jacobian (fchl19.py).
//
// Gaussians on an equally spaced grid need no exponential each: from the grid point nearest to the middle outwards each
// is the one before times a ratio, and the ratios are a geometric series.
#include "centers.hpp"

constexpr double TINY = 1e-12;  // under a square root, as in torch
constexpr int COMPONENTS = 3;

template <typename T>
struct Problem {
    index_t atoms, kinds, size, radial, angular, order;
    const index_t *begins, *neighbors, *kind;
    const T* vectors;
    double cutoff, angular_cutoff, radial_width, angular_width, radial_decay, angular_decay, weight;
    const double* series;  // 2 exp(-(zeta n)^2 / 2) for odd n

    index_t block(index_t a, index_t b) const {  // first column of the terms of two elements
        if (a > b) std::swap(a, b);
        return kinds * radial + (a * kinds - a * (a - 1) / 2 + b - a) * 2 * order * angular;
    }
};

inline void fade(double r, double cutoff, double& value, double& slope) {
    value = 0.5 * (std::cos(M_PI * r / cutoff) + 1), slope = -0.5 * M_PI / cutoff * std::sin(M_PI * r / cutoff);
}

// What one thread needs to evaluate one center after the other.
template <typename T, Mode MODE>
struct Center {
    const Problem<T>& q;
    std::vector<double> shell, steep, wave, rate, logs;
    std::vector<double> radius, into, out;  // of each neighbor: distance, fading with its slope
    std::vector<index_t> near;
    double step, ratio;

    explicit Center(const Problem<T>& q)
        : q(q), shell(std::max(q.radial, q.angular)), steep(shell.size()), wave(2 * q.order), rate(2 * q.order),
          logs(q.radial), step(q.angular_cutoff / (double)q.angular),
          ratio(std::exp(-2 * q.angular_width * step * step)) {
        for (index_t s = 0; s < q.radial; ++s) logs[s] = std::log(q.cutoff * (double)(s + 1) / (double)q.radial);
    }

    // rows: of values (VALUES), or of the gradients by them (PULL); made: by the pairs' vectors.
    void evaluate(index_t i, T* row, T* made) {
        const index_t begin = q.begins[i], end = q.begins[i + 1];
        if (MODE == VALUES) std::fill(row, row + q.size, T(0));
        if (MODE == PULL) std::fill(made + COMPONENTS * begin, made + COMPONENTS * end, T(0));
        if (MODE == JACOBIAN) std::fill(made + COMPONENTS * q.size * begin, made + COMPONENTS * q.size * end, T(0));
        near.clear(), radius.clear(), into.clear(), out.clear();
        for (index_t p = begin; p < end; ++p) {
            const T* v = q.vectors + COMPONENTS * p;
            const double r = std::sqrt((double)v[0] * v[0] + (double)v[1] * v[1] + (double)v[2] * v[2]);
            if (r < q.cutoff) pair(p, r, row, made);
            if (r >= q.angular_cutoff) continue;
            double value, slope;
            fade(r, q.angular_cutoff, value, slope);
            near.push_back(p), radius.push_back(r), into.push_back(value), out.push_back(slope);
        }
        for (size_t j = 0; j < near.size(); ++j)
            for (size_t k = j + 1; k < near.size(); ++k) triplet(j, k, row, made);
    }

    // Log-normal distributions on the grid.
    void pair(index_t p, double r, T* row, T* made) {
        const T* v = q.vectors + COMPONENTS * p;
        const index_t first = q.kind[q.neighbors[p]] * q.radial;
        const double variance = std::log1p(q.radial_width / (r * r)), mean = std::log(r) - 0.5 * variance;
        const double wider = -2 * q.radial_width / (r * (r * r + q.radial_width)), later = 1 / r - 0.5 * wider;
        double value, slope;
        fade(r, q.cutoff, value, slope);
        const double power = std::pow(r, -q.radial_decay), along = slope * power - q.radial_decay / r * value * power;
        value *= power;
        double sum = 0;
        for (index_t s = 0; s < q.radial; ++s) {
            const double x = logs[s] - mean, grid = q.cutoff * (double)(s + 1) / (double)q.radial;
            const double g = std::exp(-0.5 * x * x / variance) / (grid * std::sqrt(2 * M_PI * variance));
            if (MODE == VALUES) {
                row[first + s] += (T)(g * value);
                continue;
            }
            const double turn = x / variance * later + 0.5 * wider * (x * x / variance - 1) / variance;
            const double change = g * (along + value * turn) / r;
            if (MODE == PULL) sum += change * row[first + s];
            if (MODE == JACOBIAN)
                for (int c = 0; c < COMPONENTS; ++c)
                    made[(p * q.size + first + s) * COMPONENTS + c] += (T)(change * v[c]);
        }
        if (MODE == PULL)
            for (int c = 0; c < COMPONENTS; ++c) made[COMPONENTS * p + c] += (T)(sum * v[c]);
    }

    // Gaussians of the middle distance and, unless values are enough, their slopes.
    void shells(double middle) {
        const double eta = q.angular_width;
        const index_t last = q.angular - 1;
        const index_t nearest = std::max<index_t>(0, std::min(last, (index_t)std::lround(middle / step) - 1));
        const double apart = middle - (double)(nearest + 1) * step, top = std::exp(-eta * apart * apart);
        const double narrow = std::exp(-eta * step * step);
        double up = std::exp(2 * eta * apart * step) * narrow, down = std::exp(-2 * eta * apart * step) * narrow;
        shell[nearest] = top;
        for (index_t s = nearest + 1; s <= last; ++s, up *= ratio) shell[s] = shell[s - 1] * up;
        for (index_t s = nearest - 1; s >= 0; --s, down *= ratio) shell[s] = shell[s + 1] * down;
        if (MODE != VALUES)
            for (index_t s = 0; s <= last; ++s) steep[s] = -2 * eta * (middle - (double)(s + 1) * step) * shell[s];
    }

    // Cosines and sines of odd multiples with their weights, and their slopes by the cosine.
    void waves(double c) {
        const double square = 1 - c * c, sine = std::sqrt(std::max(square, TINY)), doubled = 2 * c * c - 1;
        double value = c, before = c, upper = 1, lower = -1;  // cos n and cos (n - 2); sin n / sin, sin (n - 2) / sin
        for (index_t m = 0; m < q.order; ++m) {
            const double n = (double)(2 * m + 1), weight = q.series[m];
            wave[2 * m] = weight * value, wave[2 * m + 1] = weight * upper * sine;
            if (MODE != VALUES) {
                rate[2 * m] = weight * n * upper;
                rate[2 * m + 1] = square > TINY ? -weight * n * value / sine : 0;
            }
            const double next = 2 * doubled * value - before, above = 2 * doubled * upper - lower;
            before = value, value = next, lower = upper, upper = above;
        }
    }

    void triplet(size_t j, size_t k, T* row, T* made) {
        const index_t first = near[j], second = near[k], terms = 2 * q.order;
        const T *v = q.vectors + COMPONENTS * first, *w = q.vectors + COMPONENTS * second;
        const double between[3] = {(double)w[0] - v[0], (double)w[1] - v[1], (double)w[2] - v[2]};
        const double r1 = radius[j], r2 = radius[k];
        const double c = between[0] * between[0] + between[1] * between[1] + between[2] * between[2];
        const double a = r1 * r1, b = r2 * r2, r3 = std::sqrt(c);
        // from scalar products: differences of squares would lose digits
        const double dot = (double)v[0] * w[0] + (double)v[1] * w[1] + (double)v[2] * w[2];
        const double at_first = a - dot, at_second = b - dot;  // those at the neighbors
        const double cosine = dot / (r1 * r2), product = dot * at_first * at_second / (a * b * c);
        const double decay = q.weight * std::pow(r1 * r2 * r3, -q.angular_decay), both = into[j] * into[k];
        const double strength = (1 + 3 * product) * decay * both;
        shells(0.5 * (r1 + r2));
        waves(cosine);
        const index_t column = q.block(q.kind[q.neighbors[first]], q.kind[q.neighbors[second]]);
        if (MODE == VALUES) {
            T* to = row + column;
            for (index_t s = 0; s < q.angular; ++s)
                for (index_t f = 0; f < terms; ++f) *to++ += (T)(strength * shell[s] * wave[f]);
            return;
        }
        // slopes of strength, cosine and middle by both vectors; d(dot) = w dv + v dw, da = 2 v dv, dc = 2 (v - w) d(v - w)
        const double over = 3 * decay * both / (a * b * c), fall = -q.angular_decay * strength;
        const double by_dot = over * (at_first * at_second - dot * (at_first + at_second));
        const double by_a = over * dot * at_second - 3 * product * decay * both / a + 0.5 * fall / a;
        const double by_b = over * dot * at_first - 3 * product * decay * both / b + 0.5 * fall / b;
        const double by_c = -3 * product * decay * both / c + 0.5 * fall / c;
        const double end1 = (1 + 3 * product) * decay * out[j] * into[k] / r1;
        const double end2 = (1 + 3 * product) * decay * into[j] * out[k] / r2;
        double pulls[3][6];  // of strength, of the cosine times the strength, of the middle times the strength
        for (int x = 0; x < COMPONENTS; ++x) {
            const double apart = 2 * by_c * between[x];
            pulls[0][x] = by_dot * w[x] + (2 * by_a + end1) * v[x] - apart;
            pulls[0][3 + x] = by_dot * v[x] + (2 * by_b + end2) * w[x] + apart;
            pulls[1][x] = strength * (w[x] / (r1 * r2) - cosine * v[x] / a);
            pulls[1][3 + x] = strength * (v[x] / (r1 * r2) - cosine * w[x] / b);
            pulls[2][x] = 0.5 * strength * v[x] / r1, pulls[2][3 + x] = 0.5 * strength * w[x] / r2;
        }
        if (MODE == PULL) {
            double sums[3] = {0, 0, 0};
            for (index_t s = 0; s < q.angular; ++s)
                for (index_t f = 0; f < terms; ++f) {
                    const double g = row[column + s * terms + f];
                    sums[0] += g * shell[s] * wave[f], sums[1] += g * shell[s] * rate[f];
                    sums[2] += g * steep[s] * wave[f];
                }
            for (int x = 0; x < COMPONENTS; ++x)
                for (int n = 0; n < 3; ++n) {
                    made[COMPONENTS * first + x] += (T)(sums[n] * pulls[n][x]);
                    made[COMPONENTS * second + x] += (T)(sums[n] * pulls[n][3 + x]);
                }
            return;
        }
        T *to = made + (first * q.size + column) * COMPONENTS, *too = made + (second * q.size + column) * COMPONENTS;
        for (index_t f = 0; f < terms; ++f) {
            double with_shell[6], with_steep[6];
            for (int x = 0; x < 6; ++x) {
                with_shell[x] = wave[f] * pulls[0][x] + rate[f] * pulls[1][x];
                with_steep[x] = wave[f] * pulls[2][x];
            }
            for (index_t s = 0; s < q.angular; ++s) {
                const index_t at = (s * terms + f) * COMPONENTS;
                for (int x = 0; x < COMPONENTS; ++x) {
                    to[at + x] += (T)(shell[s] * with_shell[x] + steep[s] * with_steep[x]);
                    too[at + x] += (T)(shell[s] * with_shell[3 + x] + steep[s] * with_steep[3 + x]);
                }
            }
        }
    }
};

#define PROBLEM(T)                                                                                               \
    index_t atoms, index_t kinds, index_t size, index_t radial, index_t angular, index_t order,                  \
        const index_t *begins, const index_t *neighbors, const index_t *kind, const T *vectors, double cutoff,   \
        double angular_cutoff, double radial_width, double angular_width, double radial_decay,                   \
        double angular_decay, double weight, const double *series
#define GIVEN(T)                                                                                                  \
    Problem<T> {                                                                                                  \
        atoms, kinds, size, radial, angular, order, begins, neighbors, kind, vectors, cutoff, angular_cutoff,     \
            radial_width, angular_width, radial_decay, angular_decay, weight, series                              \
    }

SWEEPS(f32, float)
SWEEPS(f64, double)
