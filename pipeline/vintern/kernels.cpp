// Attention, and the small operations between a layer's matrix products, for processors with AVX-512 BF16.
//
// `kernels.py` compiles this file, says what each function takes, and calls it. Everything is bfloat16 in
// memory and float32 in registers. What a row becomes depends on that row alone, in one order of additions,
// whoever is computed beside it. Loops share the threads of PyTorch's OpenMP.

#include <immintrin.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

namespace {

using bf16 = uint16_t;

constexpr long ROWS = 352;    // query rows of one task
constexpr long KEYS = 256;    // keys between two looks at a row's maximum
constexpr long PANEL = 64;    // columns of a packed operand: four registers of 16
constexpr long AT_ONCE = 6;   // rows of a product held in registers: 6 · 4 sums, 4 columns, 1 row of 32
constexpr long MAX_DIM = 256; // of a head
constexpr float LOG2_E = 1.442695041f;

// ---- registers of 16

inline __m512 widened(__m256i values) {
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(values), 16));
}

inline __m512 load16(const bf16* from) { return widened(_mm256_loadu_si256((const __m256i*)from)); }

inline void store16(bf16* to, __m512 values) {
    _mm256_storeu_si256((__m256i*)to, (__m256i)_mm512_cvtneps_pbh(values));
}

inline __m512 load16_of(__mmask16 some, const bf16* from) { return widened(_mm256_maskz_loadu_epi16(some, from)); }

// What a bfloat16 would keep of it: PyTorch rounds after each operation, and so do we where it matters.
inline __m512 rounded(__m512 values) { return widened((__m256i)_mm512_cvtneps_pbh(values)); }

// 2^x to 3e-6 relative, exact for whole x; what is no number stays none. A minimax polynomial of 2^f - 1 over
// 0 ≤ f < 1 without a constant term (fitted by linear programming).
inline __m512 exp2_of(__m512 x) {
    const __m512 f = _mm512_reduce_ps(x, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC);
    __m512 sum = _mm512_set1_ps(0.01342668478f);
    sum = _mm512_fmadd_ps(sum, f, _mm512_set1_ps(0.05224247277f));
    sum = _mm512_fmadd_ps(sum, f, _mm512_set1_ps(0.2412802130f));
    sum = _mm512_fmadd_ps(sum, f, _mm512_set1_ps(0.6930448413f));
    sum = _mm512_fmadd_ps(sum, f, _mm512_set1_ps(1.f));
    return _mm512_scalef_ps(sum, x);  // times 2^floor(x)
}

// ---- matrix products: a bfloat16 by rows, b packed: [pairs of its rows][PANEL columns]

template <int R, int W>
void product(const bf16* a, long stride_a, const uint32_t* b, long pairs, float* c, long stride_c, bool add) {
    __m512 sums[R][W];
    for (int r = 0; r < R; r++)
        for (int w = 0; w < W; w++)
            sums[r][w] = add ? _mm512_loadu_ps(c + r * stride_c + 16 * w) : _mm512_setzero_ps();
    for (long p = 0; p < pairs; p++) {
        __m512i columns[W];
        for (int w = 0; w < W; w++) columns[w] = _mm512_load_si512(b + p * PANEL + 16 * w);
        for (int r = 0; r < R; r++) {
            const __m512i pair = _mm512_set1_epi32(*(const int32_t*)(a + r * stride_a + 2 * p));
            for (int w = 0; w < W; w++)
                sums[r][w] = _mm512_dpbf16_ps(sums[r][w], (__m512bh)pair, (__m512bh)columns[w]);
        }
    }
    for (int r = 0; r < R; r++)
        for (int w = 0; w < W; w++) _mm512_storeu_ps(c + r * stride_c + 16 * w, sums[r][w]);
}

template <int W>
void product_of(long rows, const bf16* a, long sa, const uint32_t* b, long pairs, float* c, long sc, bool add) {
    switch (rows) {
        case 1: return product<1, W>(a, sa, b, pairs, c, sc, add);
        case 2: return product<2, W>(a, sa, b, pairs, c, sc, add);
        case 3: return product<3, W>(a, sa, b, pairs, c, sc, add);
        case 4: return product<4, W>(a, sa, b, pairs, c, sc, add);
        case 5: return product<5, W>(a, sa, b, pairs, c, sc, add);
        case 6: return product<6, W>(a, sa, b, pairs, c, sc, add);
    }
}

// c [rows, columns] of a [rows, 2 · pairs] and one panel b; columns ≤ PANEL is rounded up to 16.
void multiply(long rows, long columns, const bf16* a, long sa, const uint32_t* b, long pairs, float* c, long sc,
              bool add) {
    const long groups = (rows + AT_ONCE - 1) / AT_ONCE;
    for (long g = 0, done = 0; g < groups; g++) {
        const long some = (rows - done) / (groups - g);  // nearly equal groups
        const bf16* from = a + done * sa;
        float* to = c + done * sc;
        switch ((columns + 15) / 16) {
            case 1: product_of<1>(some, from, sa, b, pairs, to, sc, add); break;
            case 2: product_of<2>(some, from, sa, b, pairs, to, sc, add); break;
            case 3: product_of<3>(some, from, sa, b, pairs, to, sc, add); break;
            case 4: product_of<4>(some, from, sa, b, pairs, to, sc, add); break;
        }
        done += some;
    }
}

// 16 × 16 numbers of 32 bits, rows to columns.
inline void transpose(__m512i rows[16]) {
    __m512i t[16];
    for (int i = 0; i < 16; i += 2) {
        t[i] = _mm512_unpacklo_epi32(rows[i], rows[i + 1]);
        t[i + 1] = _mm512_unpackhi_epi32(rows[i], rows[i + 1]);
    }
    for (int i = 0; i < 16; i += 4) {
        rows[i] = _mm512_unpacklo_epi64(t[i], t[i + 2]);
        rows[i + 1] = _mm512_unpackhi_epi64(t[i], t[i + 2]);
        rows[i + 2] = _mm512_unpacklo_epi64(t[i + 1], t[i + 3]);
        rows[i + 3] = _mm512_unpackhi_epi64(t[i + 1], t[i + 3]);
    }
    for (int i = 0; i < 4; i++) {
        t[i] = _mm512_shuffle_i32x4(rows[i], rows[i + 4], 0x88);
        t[i + 4] = _mm512_shuffle_i32x4(rows[i], rows[i + 4], 0xdd);
        t[i + 8] = _mm512_shuffle_i32x4(rows[i + 8], rows[i + 12], 0x88);
        t[i + 12] = _mm512_shuffle_i32x4(rows[i + 8], rows[i + 12], 0xdd);
    }
    for (int i = 0; i < 4; i++) {
        rows[i] = _mm512_shuffle_i32x4(t[i], t[i + 8], 0x88);
        rows[i + 8] = _mm512_shuffle_i32x4(t[i], t[i + 8], 0xdd);
        rows[i + 4] = _mm512_shuffle_i32x4(t[i + 4], t[i + 12], 0x88);
        rows[i + 12] = _mm512_shuffle_i32x4(t[i + 4], t[i + 12], 0xdd);
    }
}

// keys [count, dim] → panels of 64 keys, each [dim / 2 pairs][64]; keys beyond `count` are zero.
void pack_keys(const bf16* keys, long stride, long count, long dim, uint32_t* packed) {
    for (long key = 0; key < count; key += 16) {
        uint32_t* to = packed + key / PANEL * PANEL * dim / 2 + key % PANEL;
        for (long pair = 0; pair < dim / 2; pair += 16) {
            const auto some = (__mmask16)((1u << std::min(16l, dim / 2 - pair)) - 1);
            __m512i rows[16];
            for (long n = 0; n < 16; n++)
                rows[n] = key + n < count ? _mm512_maskz_loadu_epi32(some, keys + (key + n) * stride + 2 * pair)
                                          : _mm512_setzero_si512();
            transpose(rows);
            for (long n = 0; n < std::min(16l, dim / 2 - pair); n++)
                _mm512_store_si512(to + (pair + n) * PANEL, rows[n]);
        }
    }
}

// values [count, dim] → panels of 64 of their columns, each [KEYS / 2 pairs][64].
void pack_values(const bf16* values, long stride, long count, long dim, uint32_t* packed) {
    for (long key = 0; key < count; key += 2)
        for (long column = 0; column < dim; column += 16) {
            const bf16* from = values + key * stride + column;
            __m512i pair = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i*)from));
            if (key + 1 < count) {
                const __m512i second = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i*)(from + stride)));
                pair = _mm512_or_si512(pair, _mm512_slli_epi32(second, 16));
            }
            _mm512_store_si512(packed + column / PANEL * PANEL * KEYS / 2 + key / 2 * PANEL + column % PANEL, pair);
        }
}

// ---- attention

struct alignas(64) Scratch {  // of one thread
    uint32_t keys[KEYS * MAX_DIM / 2];
    uint32_t values[KEYS * MAX_DIM / 2];
    float scores[ROWS * KEYS + 16];
    float sums[ROWS * MAX_DIM];
    bf16 weights[ROWS * KEYS];
    bf16 queries[ROWS * MAX_DIM];
    float most[ROWS], total[ROWS];
};

// One row's scores of a block become weights; returns by what its earlier sums have to be multiplied.
float soften(const float* scores, bf16* weights, long seen, long padded, float scale, float& most, float& total) {
    const float before = most;
    if (seen <= 0) {
        for (long key = 0; key < padded; key += 16) _mm256_storeu_si256((__m256i*)(weights + key), _mm256_setzero_si256());
        return 1.f;
    }
    const long full = seen / 16 * 16;
    const auto some = (__mmask16)((1u << (seen - full)) - 1);  // of the 16 after those
    __m512 highest = _mm512_set1_ps(before);
    for (long key = 0; key < full; key += 16) highest = _mm512_max_ps(highest, _mm512_loadu_ps(scores + key));
    highest = _mm512_mask_max_ps(highest, some, highest, _mm512_loadu_ps(scores + full));
    most = _mm512_reduce_max_ps(highest);
    const __m512 factor = _mm512_set1_ps(scale), shift = _mm512_set1_ps(-most * scale);
    __m512 sum = _mm512_setzero_ps();
    for (long key = 0; key < padded; key += 16) {
        __m512 weight = exp2_of(_mm512_fmadd_ps(_mm512_loadu_ps(scores + key), factor, shift));
        if (key >= full) weight = key == full ? _mm512_maskz_mov_ps(some, weight) : _mm512_setzero_ps();
        sum = _mm512_add_ps(sum, weight);
        store16(weights + key, weight);
    }
    const float again = std::exp2((before - most) * scale);
    total = total * again + _mm512_reduce_add_ps(sum);
    return again;
}

struct Span {  // `rows` query rows from `query`; row i sees seen + i · step keys from `key`
    int64_t query, rows, key, seen, step;
};

struct Side {  // where head h of row n begins: data + n · row + h · head
    bf16* data;
    int64_t row, head;
};

void attend_task(Scratch& s, const Side& q, const Side& k, const Side& v, const Side& out, const Span& span, long kv_head,
                 long shared, long first, long last, long dim) {
    const long rows = (last - first) * shared;
    const float scale = LOG2_E / std::sqrt(float(dim));  // to powers of two
    const auto place = [&](const Side& side, long r) {
        return side.data + (span.query + first + r / shared) * side.row + (kv_head * shared + r % shared) * side.head;
    };
    for (long r = 0; r < rows; r++) {
        std::copy_n(place(q, r), dim, s.queries + r * dim);
        s.most[r] = -INFINITY;
        s.total[r] = 0;
    }
    std::fill_n(s.sums, rows * dim, 0.f);
    const long reach = span.seen + (last - 1) * span.step;
    for (long key = 0; key < reach; key += KEYS) {
        const long count = std::min(KEYS, reach - key), padded = (count + 15) / 16 * 16;
        const long at = span.key + key;
        pack_keys(k.data + at * k.row + kv_head * k.head, k.row, count, dim, s.keys);
        for (long panel = 0; panel < count; panel += PANEL)
            multiply(rows, std::min(PANEL, count - panel), s.queries, dim, s.keys + panel * dim / 2, dim / 2,
                     s.scores + panel, KEYS, false);
        for (long r = 0; r < rows; r++) {
            const long seen = span.seen + (first + r / shared) * span.step - key;
            const float again = soften(s.scores + r * KEYS, s.weights + r * KEYS, std::min(seen, count), padded, scale,
                                       s.most[r], s.total[r]);
            if (again != 1.f)
                for (long n = 0; n < dim; n++) s.sums[r * dim + n] *= again;
        }
        pack_values(v.data + at * v.row + kv_head * v.head, v.row, count, dim, s.values);
        for (long column = 0; column < dim; column += PANEL)
            multiply(rows, std::min(PANEL, dim - column), s.weights, KEYS, s.values + column * KEYS / 2, (count + 1) / 2,
                     s.sums + column, dim, true);
    }
    for (long r = 0; r < rows; r++) {
        const __m512 share = _mm512_set1_ps(1.f / s.total[r]);
        for (long n = 0; n < dim; n += 16)
            store16(place(out, r) + n, _mm512_mul_ps(_mm512_loadu_ps(s.sums + r * dim + n), share));
    }
}

constexpr float UNSEEN = -1e30f;  // a score that weighs nothing

struct Row {  // of queries; it sees `seen` keys from `key` on
    int64_t query, key, seen;
};

// To `found` [cells]: how much a row sees of its keys from `first` on, the mean over its heads. It may see fewer keys.
void look(const Side& q, const Side& k, const Row& row, float* found, std::vector<float>& scores, long heads, long shared,
          long dim, long first, long cells) {
    const long padded = (row.seen + 15) / 16 * 16, there = std::clamp(row.seen - first, 0l, cells);
    const float scale = LOG2_E / std::sqrt(float(dim));
    scores.assign(padded, UNSEEN);
    std::fill_n(found, cells, 0.f);
    for (long head = 0; head < heads; head++) {
        const bf16* query = q.data + row.query * q.row + head * q.head;
        const bf16* key = k.data + row.key * k.row + head / shared * k.head;
        float most = UNSEEN;
        for (long n = 0; n < row.seen; n++, key += k.row) {
            __m512 sum = _mm512_setzero_ps();
            for (long d = 0; d < dim; d += 32)
                sum = _mm512_dpbf16_ps(sum, (__m512bh)_mm512_loadu_si512(query + d), (__m512bh)_mm512_loadu_si512(key + d));
            most = std::max(most, scores[n] = scale * _mm512_reduce_add_ps(sum));
        }
        __m512 total = _mm512_setzero_ps();
        for (long n = 0; n < padded; n += 16) {
            const __m512 weight = exp2_of(_mm512_sub_ps(_mm512_loadu_ps(&scores[n]), _mm512_set1_ps(most)));
            _mm512_storeu_ps(&scores[n], weight);
            total = _mm512_add_ps(total, weight);
        }
        const float share = 1.f / (_mm512_reduce_add_ps(total) * float(heads));
        for (long cell = 0; cell < there; cell++) found[cell] += scores[first + cell] * share;
        std::fill(scores.begin() + row.seen, scores.end(), UNSEEN);
    }
}

// ---- the next token

// Of the 16 tokens from n on: those that exist and are allowed.
inline __mmask16 tokens_at(long n, const uint16_t* allowed, long vocabulary) {
    const auto exist = (__mmask16)((1u << std::min(16l, vocabulary - n)) - 1);
    return allowed ? __mmask16(allowed[n / 16] & exist) : exist;
}

// e^x summed over a row of logits, each less `most`; `allowed`, if given, has a bit for each token.
float sum_of_exponentials(const bf16* logits, const uint16_t* allowed, long vocabulary, float most) {
    const __m512 factor = _mm512_set1_ps(LOG2_E), shift = _mm512_set1_ps(-most * LOG2_E);
    __m512 sum = _mm512_setzero_ps();
    for (long n = 0; n < vocabulary; n += 16) {
        const __mmask16 some = tokens_at(n, allowed, vocabulary);
        if (some)
            sum = _mm512_mask_add_ps(sum, some, sum, exp2_of(_mm512_fmadd_ps(load16_of(some, logits + n), factor, shift)));
    }
    return _mm512_reduce_add_ps(sum);
}

// The highest of a row's allowed logits, and the lowest token that has it; -1 where there is none.
long highest(const bf16* logits, const uint16_t* allowed, long vocabulary, float& most) {
    __m512 best = _mm512_set1_ps(-INFINITY);
    __m512i where = _mm512_set1_epi32(-1), here = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    for (long n = 0; n < vocabulary; n += 16) {
        if (const __mmask16 some = tokens_at(n, allowed, vocabulary)) {
            const __m512 logit = load16_of(some, logits + n);
            const __mmask16 higher = _mm512_mask_cmp_ps_mask(some, logit, best, _CMP_GT_OQ);
            best = _mm512_mask_mov_ps(best, higher, logit);
            where = _mm512_mask_mov_epi32(where, higher, here);
        }
        here = _mm512_add_epi32(here, _mm512_set1_epi32(16));
    }
    most = _mm512_reduce_max_ps(best);
    const __mmask16 equal = _mm512_cmp_ps_mask(best, _mm512_set1_ps(most), _CMP_EQ_OQ);
    return most == -INFINITY ? -1 : long(_mm512_mask_reduce_min_epi32(equal, where));
}

}  // namespace

extern "C" {

// For each row of logits: the likeliest allowed token (of equal ones the lowest), its probability among the allowed
// and among all; found [3][rows]. `allowed` is null, or has `words` of 32 tokens a row. Where nothing is allowed, or
// a logit is no number, neither is a probability.
void choose(const bf16* logits, const uint32_t* allowed, double* found, int64_t rows, int64_t vocabulary, int64_t words) {
#pragma omp parallel for if (rows * vocabulary > 65536)
    for (long r = 0; r < rows; r++) {
        const bf16* row = logits + r * vocabulary;
        const auto* mask = allowed ? (const uint16_t*)(allowed + r * words) : nullptr;
        float most, most_of_all;
        const long token = highest(row, mask, vocabulary, most);
        highest(row, nullptr, vocabulary, most_of_all);
        const float all = sum_of_exponentials(row, nullptr, vocabulary, most_of_all);
        found[r] = double(std::max(token, 0l));
        found[rows + r] = token < 0 ? NAN : 1. / sum_of_exponentials(row, mask, vocabulary, most);
        found[2 * rows + r] = token < 0 ? NAN : std::exp(double(most) - most_of_all) / all;
    }
}

// Softmax attention of spans of query rows, each over its own run of keys. dim is a multiple of 16, at most 256;
// strides are in elements.
void attend(const Side* q, const Side* k, const Side* v, const Side* out, const Span* spans, int64_t n_spans,
            int64_t heads, int64_t kv_heads, int64_t dim) {
    const long shared = heads / kv_heads, tokens = std::max(1l, ROWS / shared);
    long tasks = 0, blocks = 0;
    for (long i = 0; i < n_spans; i++) blocks = std::max(blocks, (spans[i].rows + tokens - 1) / tokens);
    tasks = blocks * n_spans * kv_heads;
#pragma omp parallel if (tasks > 1)
    {
        static thread_local Scratch scratch;
        // The last tokens of a prompt see most: they go first, so that nobody waits for them at the end.
#pragma omp for schedule(dynamic, 1)
        for (long task = 0; task < tasks; task++) {
            const Span& span = spans[task / kv_heads % n_spans];
            const long first = (blocks - 1 - task / kv_heads / n_spans) * tokens;
            const long last = std::min(first + tokens, long(span.rows));
            if (first < last)
                attend_task(scratch, *q, *k, *v, *out, span, task % kv_heads, shared, first, last, dim);
        }
    }
}

// What rows of queries see of their keys from `first` on: found [n_rows][cells]. dim is a multiple of 32.
void page_weights(const Side* q, const Side* k, const Row* rows, float* found, int64_t n_rows, int64_t heads,
                  int64_t kv_heads, int64_t dim, int64_t first, int64_t cells) {
#pragma omp parallel for schedule(dynamic, 1) if (n_rows > 1)
    for (long r = 0; r < n_rows; r++) {
        static thread_local std::vector<float> scores;
        look(*q, *k, rows[r], found + r * cells, scores, heads, heads / kv_heads, dim, first, cells);
    }
}

// to[n] = from[n] / rms(from[n]) · weight, for rows of `width`, a multiple of 16.
void rms_norm(const bf16* from, const bf16* weight, bf16* to, int64_t rows, int64_t width, float eps) {
#pragma omp parallel for if (rows * width > 65536)
    for (long r = 0; r < rows; r++) {
        const bf16* row = from + r * width;
        __m512 squares = _mm512_setzero_ps();
        for (long n = 0; n < width; n += 16) {
            const __m512 x = load16(row + n);
            squares = _mm512_fmadd_ps(x, x, squares);
        }
        const __m512 by = _mm512_set1_ps(1.f / std::sqrt(_mm512_reduce_add_ps(squares) / float(width) + eps));
        for (long n = 0; n < width; n += 16)
            store16(to + r * width + n, _mm512_mul_ps(load16(weight + n), rounded(_mm512_mul_ps(load16(row + n), by))));
    }
}

// to[n] = silu(from[n, :width]) · from[n, width:], width a multiple of 16.
void gate(const bf16* from, bf16* to, int64_t rows, int64_t width) {
#pragma omp parallel for if (rows * width > 65536)
    for (long r = 0; r < rows; r++)
        for (long n = 0; n < width; n += 16) {
            const __m512 x = load16(from + 2 * r * width + n);
            const __m512 e = exp2_of(_mm512_mul_ps(_mm512_abs_ps(x), _mm512_set1_ps(-LOG2_E)));  // e^-|x|
            const __mmask16 negative = _mm512_cmp_ps_mask(x, _mm512_setzero_ps(), _CMP_LT_OQ);
            const __m512 one = _mm512_set1_ps(1.f);
            const __m512 sigmoid = _mm512_div_ps(_mm512_mask_mov_ps(one, negative, e), _mm512_add_ps(one, e));
            const __m512 up = load16(from + (2 * r + 1) * width + n);
            store16(to + r * width + n, _mm512_mul_ps(rounded(_mm512_mul_ps(x, sigmoid)), up));
        }
}

// Turn the pairs (i, i + dim / 2) of the first `heads` heads of each row, in place; dim a multiple of 32.
// cosine and sine [rows, dim], the first half of sine negative.
void rotate(bf16* data, int64_t row_stride, const bf16* cosine, const bf16* sine, int64_t rows, int64_t heads, int64_t dim) {
#pragma omp parallel for if (rows * heads * dim > 65536)
    for (long r = 0; r < rows; r++)
        for (long h = 0; h < heads; h++) {
            bf16* head = data + r * row_stride + h * dim;
            for (long n = 0, m = dim / 2; n < dim / 2; n += 16, m += 16) {
                const __m512 x = load16(head + n), y = load16(head + m);
                const long at = r * dim;
                store16(head + n, _mm512_fmadd_ps(y, load16(sine + at + n), rounded(_mm512_mul_ps(x, load16(cosine + at + n)))));
                store16(head + m, _mm512_fmadd_ps(x, load16(sine + at + m), rounded(_mm512_mul_ps(y, load16(cosine + at + m)))));
            }
        }
}

}  // extern "C"
