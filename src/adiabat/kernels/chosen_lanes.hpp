// Lanes of a vector packed side by side, and brought back.
#pragma once
#include "lanes.hpp"
#if defined(__AVX512F__)
#include <immintrin.h>
#endif

// Which lanes of a vector are kept: `put` packs them, `get` brings packed ones back to their lanes and zeros the rest.
template <typename T>
struct Chosen {
    uint32_t bits;
    INLINE int count() const { return __builtin_popcount(bits); }
#if defined(__AVX512F__)
    INLINE explicit Chosen(const Ints<T>& keep) {
        if constexpr (sizeof(T) == 8)
            bits = _mm512_test_epi64_mask((__m512i)keep, (__m512i)keep);
        else
            bits = _mm512_test_epi32_mask((__m512i)keep, (__m512i)keep);
    }
    INLINE void put(T* to, const Vec<T>& v) const {
        if constexpr (sizeof(T) == 8)
            _mm512_storeu_pd(to, _mm512_maskz_compress_pd(bits, (__m512d)v));
        else
            _mm512_storeu_ps(to, _mm512_maskz_compress_ps(bits, (__m512)v));
    }
    INLINE Vec<T> get(const T* from) const {
        if constexpr (sizeof(T) == 8)
            return (Vec<T>)_mm512_maskz_expand_pd(bits, _mm512_loadu_pd(from));
        else
            return (Vec<T>)_mm512_maskz_expand_ps(bits, _mm512_loadu_ps(from));
    }
#else
    INLINE explicit Chosen(const Ints<T>& keep) : bits(0) {
        for (int l = 0; l < Lanes<T>::count; ++l) bits |= (keep[l] ? 1u : 0u) << l;
    }
    INLINE void put(T* to, const Vec<T>& v) const {
        for (int l = 0; l < Lanes<T>::count; ++l) {
            *to = v[l];
            to += bits >> l & 1;
        }
    }
    INLINE Vec<T> get(const T* from) const {
        Vec<T> v = {};
        for (int l = 0; l < Lanes<T>::count; ++l)
            if (bits >> l & 1) v[l] = *from++;
        return v;
    }
#endif
};
