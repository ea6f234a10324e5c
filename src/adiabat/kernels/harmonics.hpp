// Real spherical harmonics of unit vectors, one in each lane, and gradients of sums of them; z is the polar axis and
// sum_m Y_lm^2 is 2l + 1.
#pragma once
#include "lanes.hpp"

template <typename T>
struct Harmonics {
    typedef Vec<T> V;
    const index_t degrees, width, room;  // room: vectors of scratch
    std::vector<double> norms;

    explicit Harmonics(index_t l_max) : degrees(l_max + 1), width(degrees * degrees), room(2 * width) {
        for (index_t l = 0; l < degrees; ++l)
            for (index_t m = 0; m <= l; ++m) {
                double ratio = (2 * l + 1) * (m ? 2.0 : 1.0);
                for (index_t k = l - m + 1; k <= l + m; ++k) ratio /= k;
                norms.push_back(std::sqrt(ratio));
            }
    }

    // Harmonics [l^2 + l + m] of a unit vector. Scratch keeps d^m P_l/dz^m with norms [l][m], and if wanted their slopes.
    void evaluate(const V* place, bool slopes, V* scratch, V* y) const {
        V *plain = scratch, *slope = scratch + width, c = spread<T>(1), q = {};
        const V z = place[2];
        for (index_t m = 0; m < degrees; ++m) {
            plain[m * degrees + m] = m ? plain[(m - 1) * degrees + m - 1] * (T)(2 * m - 1) : spread<T>(1);
            if (m + 1 < degrees) plain[(m + 1) * degrees + m] = z * plain[m * degrees + m] * (T)(2 * m + 1);
            for (index_t l = m + 2; l < degrees; ++l)
                plain[l * degrees + m] = (z * plain[(l - 1) * degrees + m] * (T)(2 * l - 1) -
                                          plain[(l - 2) * degrees + m] * (T)(l + m - 1)) / (T)(l - m);
        }
        if (slopes)
            for (index_t l = 0, k = 0; l < degrees; ++l)
                for (index_t m = 0; m <= l; ++m, ++k)
                    slope[l * degrees + m] = m < l ? plain[l * degrees + m + 1] * (T)norms[k] : V{};
        for (index_t l = 0, k = 0; l < degrees; ++l)
            for (index_t m = 0; m <= l; ++m, ++k) plain[l * degrees + m] *= (T)norms[k];
        for (index_t m = 0; m < degrees; ++m) {
            for (index_t l = m; l < degrees; ++l) {
                y[l * l + l + m] = plain[l * degrees + m] * c;
                if (m) y[l * l + l - m] = plain[l * degrees + m] * q;
            }
            const V next = c * place[0] - q * place[1];
            q = q * place[0] + c * place[1], c = next;
        }
    }

    // Gradient of sum_lm w_lm Y_lm over degrees from first to before last, by x, y, z as independent variables.
    void gradient(const V* place, const V* scratch, const V* w, index_t first, index_t last, V* made) const {
        const V *plain = scratch, *slope = scratch + width;
        V c = spread<T>(1), q = {}, c_before = {}, q_before = {};
        for (index_t m = 0; m < last; ++m) {
            V cosine = {}, sine = {}, cosine_slope = {}, sine_slope = {};
            for (index_t l = std::max(m, first); l < last; ++l) {
                const V one = w[l * l + l + m];
                cosine += plain[l * degrees + m] * one, cosine_slope += slope[l * degrees + m] * one;
                if (!m) continue;
                const V other = w[l * l + l - m];
                sine += plain[l * degrees + m] * other, sine_slope += slope[l * degrees + m] * other;
            }
            made[0] += (c_before * cosine + q_before * sine) * (T)m;
            made[1] += (c_before * sine - q_before * cosine) * (T)m;
            made[2] += cosine_slope * c + sine_slope * q;
            c_before = c, q_before = q;
            c = c_before * place[0] - q_before * place[1], q = q_before * place[0] + c_before * place[1];
        }
    }
};
