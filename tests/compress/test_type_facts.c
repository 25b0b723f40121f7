// Facts about data types that are known from elsewhere, printed and checked: bits a weight by arithmetic, the error on
// N(0, 1) against the rate-distortion bound, Lloyd-Max's decibels, and the errors of ggml's own blocks.
#include "compress/types/scalar.h"
#include "tests/compress/compress_support.h"

enum { R = 64, C = 1024 };

typedef struct fact {
    const char *type;
    double bits;  // stored, a weight of a 64 x 1024 matrix
    double error; // relative root mean square on N(0, 1), where it is known; else 0
} fact;

// A float16 a row of 1,024 is 1/64 bit, a group of 64 with it 1/4.
#define ROW (16.0 / C)
static const fact facts[] = {
    {"int2 range=mse", 2 + ROW, 0},
    {"int3 range=mse", 3 + ROW, 0},
    {"int4 range=mse", 4 + ROW, 0},
    {"int8", 8 + ROW, 0},
    {"int16", 16 + 2 * ROW, 0},
    {"uint4 group=64", 4 + 20.0 / 64, 0},
    {"uint4 group=64 scale=double", 4 + (8 + 4) / 64.0 + 32.0 / 64 / 256 + 32.0 / R / C, 0},
    {"uint4 group=32 scale=super", 4 + (6 + 4) / 32.0 + 16.0 / 32 / 16, 0},
    {"int4 granularity=tensor", 4 + 16.0 / R / C, 0},
    {"int4 granularity=column", 4 + 16.0 / R + 32.0 / R / C, 0}, // and the float32 of the codes' step, 1
    {"int4 granularity=rank1", 4 + 16.0 / R + ROW + 32.0 / R / C, 0},
    {"int8 narrow=1", 8 + ROW, 0},
    {"ternary range=mse", 1.6 + ROW, 0.4360}, // 1 - 0.8098: the best three even levels
    {"binary", 1 + ROW, 0.6028},              // sqrt(1 - 2 / pi)
    {"seq bits=2", 2 + ROW, 0},
    {"midrise bits=2 range=golden", 2 + ROW, 0.3447}, // the best even quantiser of four levels: 9.25 dB
    {"nf4 group=64", 4.25, 0},
    {"nf4 group=64 scale=double", 4 + 8.0 / 64 + 32.0 / 64 / 256 + 32.0 / R / C, 0},
    {"nf4 group=64 split=1", 4.5, 0},
    {"lloyd bits=2", 2 + ROW, 0.34278},
    {"lloyd bits=3", 3 + ROW, 0.18580},
    {"lloyd bits=4", 4 + ROW, 0.09747},
    {"e4m3", 8 + ROW, 0},
    {"e3m2", 6 + ROW, 0},
    {"mxfp4", 4.25, 0.115},
    {"mxfp6", 6.25, 0},
    {"mxfp8", 8.25, 0},
    {"mxint8", 8.25, 0},
    {"nvfp4", 4.5 + 32.0 / R / C, 0},
    {"dynamic bits=8", 8 + ROW, 0},
    {"quantile bits=4", 4 + ROW + 16 * 32.0 / R / C, 0},
    {"power bits=4", 4 + ROW + 32.0 / R / C, 0},
    {"dorefa bits=4", 4 + ROW + 32.0 / R / C, 0},
    {"q8_0", 8.5, 0.00535},
    {"q6_K", 6.5625, 0.0177},
    {"q5_K", 5.5, 0.0361},
    {"q4_K", 4.5, 0.0713},
    {"q4_0", 4.5, 0.0859},
    {"iq4_nl", 4.5, 0.0762},
    {"ggml-mxfp4", 4.25, 0.115},
    {"q3_K", 3.4375, 0.151},
    {"q2_K", 2.625, 0.296},
};

static void bits_and_errors(void **state) {
    (void)state;
    float *w = random_matrix(R, C, 61);
    for (int i = 0; i < R * C; i++) w[i] *= 20; // to a deviation of 1: powers of two see the difference
    double whole = num_sum_squares(w, (size_t)R * C);
    for (size_t k = 0; k < sizeof facts / sizeof *facts; k++) {
        const fact *f = &facts[k];
        char steps[96];
        snprintf(steps, sizeof steps, "quantize dtype=%s", f->type);
        layer l = open_layer(w, R, C, NULL);
        float *out = apply_steps(&l, steps);
        double e = sqrt(output_error(w, out, R, C, NULL) / whole), bits = 8 * (double)layer_bytes(&l) / R / C;
        double bound = sqrt(scalar_rate_distortion(bits));
        print_message("%-30s %8.4f bits, error %.5f", f->type, bits, e);
        print_message(f->error > 0 ? " (known %.5f)" : "", f->error);
        print_message(", %5.2f dB above D(R)\n", 20 * log10(e / bound));
        if (fabs(bits - f->bits) > 1e-4 + 1e-5 * bits) fail_msg("%s: %g bits, expected %g", f->type, bits, f->bits);
        if (f->error > 0 && fabs(e / f->error - 1) > 0.02) fail_msg("%s: %g, known %g", f->type, e, f->error);
        assert_true(e > bound);
        free(out);
        layer_close(&l);
    }
    free(w);
}

static void lloyd_max(void **state) {
    (void)state;
    static const double known[] = {4.40, 9.30, 14.62, 20.22}; // 1 to 4 bits (Max 1960)
    double level[SCALAR_MOST];
    for (int bits = 1; bits <= 8; bits++) {
        scalar_figures f = scalar_lloyd_max(1 << bits, level, NULL);
        double db = -10 * log10(f.mse), even;
        scalar_uniform(1 << bits, &even);
        print_message("%d bits: Lloyd-Max %.2f dB, even levels %.2f, D(R) %.2f\n", bits, db, -10 * log10(even),
                      -10 * log10(scalar_rate_distortion(bits)));
        if (bits <= 4 && fabs(db - known[bits - 1]) > 0.006) fail_msg("%d bits: %.3f dB", bits, db);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(bits_and_errors), cmocka_unit_test(lloyd_max)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
