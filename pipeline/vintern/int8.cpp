// Matrix products of 8-bit weights with 8-bit activations, for processors with AVX-512 VNNI.
//
// `int8.py` compiles this file, says what each function takes, and calls it. A row of activations has one scale, a
// row of the weight (an output) has one; the product itself is of whole numbers and exact. So what a row becomes
// depends on that row alone, whoever is computed beside it, on however many threads. Loops share the threads of
// PyTorch's OpenMP.
//
// The weight lies in panels of COLUMNS outputs, each [inputs / 4][COLUMNS][4]: what an instruction multiplies, in the
// order in which it is read. Activations become numbers of 0 to 255 around ZERO, those of a group of rows together:
// [inputs / 4][rows][4]. The instruction takes just that, and what ZERO adds is subtracted beforehand.

#include <immintrin.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>

namespace {

constexpr long COLUMNS = 32;         // of a panel: two registers of 16 sums
constexpr long AT_ONCE = 12;         // rows of a product held in registers: 12 · 2 sums, 2 columns, 1 of a row
constexpr long CHUNK = 512 * 1024;   // bytes of activations that stay in a core's cache
constexpr long SERIAL = 65536;       // numbers below which threads cost more than they help
constexpr int ZERO = 128;

using bf16 = uint16_t;

// ---- registers of 16, from and to either type of numbers

inline __m512 load16(const bf16* from) {
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i*)from)), 16));
}

inline __m512 load16(const float* from) { return _mm512_loadu_ps(from); }

inline void store16(float* to, __m512 values, __mmask16 some) { _mm512_mask_storeu_ps(to, some, values); }

// Rounded to the nearest, halves to even, as PyTorch does; without AVX-512 BF16, which not all of these have.
inline void store16(bf16* to, __m512 values, __mmask16 some) {
    const __m512i bits = _mm512_castps_si512(values);
    const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
    __m512i high = _mm512_srli_epi32(_mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff))), 16);
    high = _mm512_mask_mov_epi32(high, _mm512_cmp_ps_mask(values, values, _CMP_UNORD_Q), _mm512_set1_epi32(0x7fc0));
    _mm256_mask_storeu_epi16(to, some, _mm512_cvtepi32_epi16(high));
}

// ---- activations

struct Group {  // of rows that are multiplied together
    long first, rows;
};

// Groups of nearly equal size.
inline long groups_of(long rows) { return (rows + AT_ONCE - 1) / AT_ONCE; }
inline Group group(long rows, long number) {
    const long groups = groups_of(rows), first = number * rows / groups;
    return {first, (number + 1) * rows / groups - first};
}

// A row's numbers, to places `stride` bytes apart for each four of them; returns their scale. Where one of them is no
// number or has no bound, none of the row is told apart: the scale is no number, and so is all that comes of the row.
template <typename T>
float quantise(const T* row, uint8_t* to, long stride, long inputs) {
    __m512i most_bits = _mm512_setzero_si512();  // of absolute values; as whole numbers they have the same order
    const __m512i absolute = _mm512_set1_epi32(0x7fffffff);
    for (long k = 0; k < inputs; k += 16)
        most_bits = _mm512_max_epu32(most_bits, _mm512_and_si512(_mm512_castps_si512(load16(row + k)), absolute));
    const uint32_t bits = _mm512_reduce_max_epu32(most_bits);
    float most;
    memcpy(&most, &bits, 4);
    const bool whole = bits < 0x7f800000u;
    const __m512 factor = _mm512_set1_ps(whole && most > 1e-30f ? 127.f / most : 0.f);
    for (long k = 0; k < inputs; k += 16) {
        const __m512i numbers = whole ? _mm512_cvtps_epi32(_mm512_mul_ps(load16(row + k), factor)) : _mm512_setzero_si512();
        const __m128i bytes = _mm512_cvtepi32_epi8(_mm512_add_epi32(numbers, _mm512_set1_epi32(ZERO)));
        alignas(16) int32_t fours[4];
        _mm_store_si128((__m128i*)fours, bytes);
        for (long n = 0; n < 4; n++) memcpy(to + (k / 4 + n) * stride, fours + n, 4);
    }
    return whole ? most / 127.f : NAN;
}

// ---- products

struct Weight {
    const int8_t* panels;
    const float* scales;  // of outputs, padded to whole panels like all that follows
    const int32_t* zeros; // minus ZERO times the sum of an output's numbers
    const float* bias;    // or null
};

// sums += the products of four activations each with four numbers of a weight. Written out: as an intrinsic, GCC 12
// copies each sum before and after, which takes half of the time.
inline void multiply_add(__m512i& sums, __m512i activations, __m512i weight) {
    asm("vpdpbusd %2, %1, %0" : "+v"(sums) : "v"(activations), "v"(weight));
}

template <int R, typename T>
void block(const uint8_t* a, const float* scales, const Weight& w, long panel, T* out, long outputs, long inputs) {
    const int8_t* b = w.panels + panel * COLUMNS * inputs;
    __m512i sums[R][2];
#pragma GCC unroll 16
    for (int r = 0; r < R; r++) {
        sums[r][0] = _mm512_loadu_si512(w.zeros + panel * COLUMNS);
        sums[r][1] = _mm512_loadu_si512(w.zeros + panel * COLUMNS + 16);
    }
    for (long k = 0; k < inputs / 4; k++, a += 4 * R, b += 4 * COLUMNS) {
        const __m512i first = _mm512_load_si512(b), second = _mm512_load_si512(b + 64);
#pragma GCC unroll 16
        for (int r = 0; r < R; r++) {
            int32_t four;
            memcpy(&four, a + 4 * r, 4);
            const __m512i row = _mm512_set1_epi32(four);
            multiply_add(sums[r][0], row, first);
            multiply_add(sums[r][1], row, second);
        }
    }
    // Row by row, so that both halves of a memory line are written at once: where rows are a power of two apart, as
    // the 4,096 outputs of the vision tower's MLP are, the lines of twelve do not stay in the cache together.
    const long column = panel * COLUMNS, there = std::min(outputs - column, COLUMNS);
    const uint32_t some = there == COLUMNS ? ~0u : (1u << there) - 1;
    __m512 scale[2], bias[2];
    for (int c = 0; c < 2; c++) {
        scale[c] = _mm512_loadu_ps(w.scales + column + 16 * c);
        bias[c] = w.bias ? _mm512_loadu_ps(w.bias + column + 16 * c) : _mm512_setzero_ps();
    }
#pragma GCC unroll 16
    for (int r = 0; r < R; r++)
#pragma GCC unroll 2
        for (int c = 0; c < 2; c++) {
            const __m512 sum = _mm512_mul_ps(_mm512_cvtepi32_ps(sums[r][c]), scale[c]);
            store16(out + r * outputs + column + 16 * c, _mm512_fmadd_ps(sum, _mm512_set1_ps(scales[r]), bias[c]),
                    (__mmask16)(some >> 16 * c));
        }
}

template <typename T>
void block_of(long rows, const uint8_t* a, const float* scales, const Weight& w, long panel, T* out, long outputs,
              long inputs) {
    switch (rows) {
        case 1: return block<1>(a, scales, w, panel, out, outputs, inputs);
        case 2: return block<2>(a, scales, w, panel, out, outputs, inputs);
        case 3: return block<3>(a, scales, w, panel, out, outputs, inputs);
        case 4: return block<4>(a, scales, w, panel, out, outputs, inputs);
        case 5: return block<5>(a, scales, w, panel, out, outputs, inputs);
        case 6: return block<6>(a, scales, w, panel, out, outputs, inputs);
        case 7: return block<7>(a, scales, w, panel, out, outputs, inputs);
        case 8: return block<8>(a, scales, w, panel, out, outputs, inputs);
        case 9: return block<9>(a, scales, w, panel, out, outputs, inputs);
        case 10: return block<10>(a, scales, w, panel, out, outputs, inputs);
        case 11: return block<11>(a, scales, w, panel, out, outputs, inputs);
        case 12: return block<12>(a, scales, w, panel, out, outputs, inputs);
    }
}

template <typename T>
void product(const T* x, uint8_t* numbers, float* scales, const Weight& w, T* out, long rows, long outputs, long inputs) {
    const long panels = (outputs + COLUMNS - 1) / COLUMNS, groups = groups_of(rows);
    const long most = std::max(1l, CHUNK / (AT_ONCE * inputs)), chunks = (groups + most - 1) / most;
#pragma omp parallel for if (rows * inputs > SERIAL)
    for (long g = 0; g < groups; g++) {
        const Group some = group(rows, g);
        for (long r = 0; r < some.rows; r++)
            scales[some.first + r] = quantise(x + (some.first + r) * inputs, numbers + some.first * inputs + 4 * r,
                                              4 * some.rows, inputs);
    }
    // Chunks of nearly equal size, because threads share them by number.
#pragma omp parallel for collapse(2) schedule(static) if (outputs * inputs > SERIAL)
    for (long chunk = 0; chunk < chunks; chunk++)
        for (long panel = 0; panel < panels; panel++)
            for (long g = chunk * groups / chunks; g < (chunk + 1) * groups / chunks; g++) {
                const Group some = group(rows, g);
                block_of(some.rows, numbers + some.first * inputs, scales + some.first, w, panel,
                         out + some.first * outputs, outputs, inputs);
            }
}

// Rows of the weight, as numbers again.
template <typename T>
void rows_of(const int64_t* ids, const Weight& w, T* out, long count, long inputs) {
    for (long n = 0; n < count; n++) {
        const int8_t* from = w.panels + ids[n] / COLUMNS * COLUMNS * inputs + ids[n] % COLUMNS * 4;
        const __m512 scale = _mm512_set1_ps(w.scales[ids[n]]);
        for (long k = 0; k < inputs; k += 16) {
            alignas(16) int32_t fours[4];
            for (long m = 0; m < 4; m++) memcpy(fours + m, from + (k / 4 + m) * COLUMNS * 4, 4);
            const __m512i wide = _mm512_cvtepi8_epi32(_mm_load_si128((const __m128i*)fours));
            store16(out + n * inputs + k, _mm512_mul_ps(_mm512_cvtepi32_ps(wide), scale), 0xffff);
        }
    }
}

}  // namespace

extern "C" {

// out [rows, outputs] = x [rows, inputs] · weightᵀ + bias; `numbers` [rows · inputs] and `scales` [rows] are scratch.
// inputs is a multiple of 16, and panels begin at multiples of 64 bytes.
#define PRODUCT(name, T)                                                                                             \
    void name(const T* x, uint8_t* numbers, float* scales, const int8_t* panels, const float* weight_scales,         \
              const int32_t* zeros, const float* bias, T* out, int64_t rows, int64_t outputs, int64_t inputs) {      \
        product(x, numbers, scales, Weight{panels, weight_scales, zeros, bias}, out, rows, outputs, inputs);         \
    }
PRODUCT(product_bfloat16, bf16)
PRODUCT(product_float32, float)

// out [count, inputs]: rows `ids` of the weight.
#define ROWS_OF(name, T)                                                                                             \
    void name(const int64_t* ids, const int8_t* panels, const float* weight_scales, T* out, int64_t count,           \
              int64_t inputs) {                                                                                      \
        rows_of(ids, Weight{panels, weight_scales, nullptr, nullptr}, out, count, inputs);                           \
    }
ROWS_OF(rows_bfloat16, bf16)
ROWS_OF(rows_float32, float)

}  // extern "C"
