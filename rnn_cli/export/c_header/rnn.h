/* A recurrent network in C99: its weights, and functions that allocate nothing. Made by rnn export --to c.

   A model that writes, or answers while it reads:
     struct rnn net;
     rnn_reset(&net);                               the start of a text, with the boundary read
     rnn_step(&net, symbol);                        read a symbol; net.logits says what comes next
     symbol = rnn_sample(&net, temperature, number) number in [0, 1); temperature 0: the most probable symbol
   rnn_sample returns 0 where the text ends. It does not read the symbol: give it to rnn_step.
   A model of two directions reads whole texts with rnn_read instead of rnn_step.
   If a model has labels: set net.label, then call rnn_restart.
   A tagger chooses its tags with rnn_best_tags; an encoder with a decoder reads a source with rnn_read_source and a
   target with rnn_answer; a forecaster continues a series with rnn_forecast.
   Include this header in one file, and link with -lm. */
#ifndef RNN_H
#define RNN_H
#include <math.h>
#include <stddef.h>
#include <string.h>

/* WEIGHTS */
#define RNN_ROWS (RNN_GATES * RNN_HIDDEN)
#define RNN_WIDTH (RNN_DIRECTIONS * RNN_HIDDEN)

struct rnn {
  float h[RNN_RUNS][RNN_HIDDEN], c[RNN_RUNS][RNN_HIDDEN];
  float mean[RNN_WIDTH], logits[RNN_OUTPUTS];
  float from_input[RNN_ROWS], from_state[RNN_ROWS];
  int label, steps, allowed; /* allowed: the state of rnn_follow */
#if RNN_TRANSLATES
  const float *read, *keys; /* of the source: the outputs of the encoder, and what the decoder compares with */
  float *weights;           /* how much the last symbol attends to each symbol of the source */
  float both[RNN_HIDDEN + RNN_WIDTH], z[RNN_HIDDEN];
  int count;
#endif
};

static inline float rnn_sigmoid(float a) { return 1.0f / (1.0f + expf(-a)); }

/* y = W x + b, with W of `rows` rows; b may be NULL. */
static inline void rnn_product(float *y, const float *w, const float *x, const float *b, int rows, int columns) {
  for (int i = 0; i < rows; i++) {
    const float *row = w + (size_t)i * (size_t)columns;
    float sum = b ? b[i] : 0.0f;
    for (int j = 0; j < columns; j++) sum += row[j] * x[j];
    y[i] = sum;
  }
}

/* One step of a layer, or of one of its directions: from_input holds W_ih x + b_ih. */
static inline void rnn_cell(struct rnn *net, int run) {
  float *a = net->from_input, *u = net->from_state, *h = net->h[run];
  rnn_product(u, rnn_recurrent[run], h, rnn_bias_hh[run], RNN_ROWS, RNN_HIDDEN);
  for (int j = 0; j < RNN_HIDDEN; j++) {
#if RNN_CELL == 1 /* LSTM: i f g o */
    float *c = net->c[run];
    float i = rnn_sigmoid(a[j] + u[j]), f = rnn_sigmoid(a[RNN_HIDDEN + j] + u[RNN_HIDDEN + j]);
    float g = tanhf(a[2 * RNN_HIDDEN + j] + u[2 * RNN_HIDDEN + j]);
    float o = rnn_sigmoid(a[3 * RNN_HIDDEN + j] + u[3 * RNN_HIDDEN + j]);
    c[j] = f * c[j] + i * g;
    h[j] = o * tanhf(c[j]);
#elif RNN_CELL == 2 /* GRU: r z n */
    float r = rnn_sigmoid(a[j] + u[j]), z = rnn_sigmoid(a[RNN_HIDDEN + j] + u[RNN_HIDDEN + j]);
    float n = tanhf(a[2 * RNN_HIDDEN + j] + r * u[2 * RNN_HIDDEN + j]);
    h[j] = (1.0f - z) * n + z * h[j];
#elif RNN_ACTIVATION == 1
    h[j] = tanhf(a[j] + u[j]);
#elif RNN_ACTIVATION == 2
    h[j] = a[j] + u[j] > 0.0f ? a[j] + u[j] : 0.0f;
#else
    h[j] = rnn_sigmoid(a[j] + u[j]);
#endif
  }
}

#if RNN_KIND
/* What layer 0 reads of a symbol: a column of W_ih, or a row of the tied embedding. */
static inline void rnn_input_symbol(struct rnn *net, int run, int symbol) {
#if RNN_TIED
  rnn_product(net->from_input, rnn_input[run], rnn_decoder + (size_t)symbol * RNN_HIDDEN, rnn_bias_ih[run], RNN_ROWS,
              RNN_HIDDEN);
#else
  const float *row = rnn_input[run] + (size_t)symbol * RNN_ROWS;
  for (int i = 0; i < RNN_ROWS; i++) net->from_input[i] = row[i] + rnn_bias_ih[run][i];
#if RNN_LABELS
  row = rnn_input[run] + (size_t)(RNN_SYMBOLS + net->label) * RNN_ROWS;
  for (int i = 0; i < RNN_ROWS; i++) net->from_input[i] += row[i];
#endif
#endif
}

#endif

#if !RNN_TRANSLATES
/* The logits from the output of the last layer. */
static inline void rnn_read_out(struct rnn *net, const float *output) {
#if RNN_MEAN
  net->steps++;
  for (int j = 0; j < RNN_WIDTH; j++) net->mean[j] += (output[j] - net->mean[j]) / (float)net->steps;
  output = net->mean;
#endif
  rnn_product(net->logits, rnn_decoder, output, rnn_decoder_bias, RNN_OUTPUTS, RNN_WIDTH);
}
#endif

#if RNN_DIRECTIONS == 1 && RNN_KIND && !RNN_TRANSLATES
/* Read a symbol (0 to RNN_SYMBOLS - 1). */
static inline void rnn_step(struct rnn *net, int symbol) {
  rnn_input_symbol(net, 0, symbol);
  rnn_cell(net, 0);
  for (int layer = 1; layer < RNN_LAYERS; layer++) {
    rnn_product(net->from_input, rnn_input[layer], net->h[layer - 1], rnn_bias_ih[layer], RNN_ROWS, RNN_HIDDEN);
    rnn_cell(net, layer);
  }
  rnn_read_out(net, net->h[RNN_LAYERS - 1]);
#if RNN_WRITES
  if (symbol && rnn_follow[(size_t)net->allowed * RNN_SYMBOLS + (size_t)symbol] < 255)
    net->allowed = rnn_follow[(size_t)net->allowed * RNN_SYMBOLS + (size_t)symbol];
#endif
}

/* Forget the text, keep the label, and read the boundary. */
static inline void rnn_restart(struct rnn *net) {
  int label = net->label;
  memset(net, 0, sizeof *net);
  net->label = label;
  rnn_step(net, 0);
}

/* Begin a text. */
static inline void rnn_reset(struct rnn *net) {
  net->label = 0;
  rnn_restart(net);
}
#endif

#if RNN_DIRECTIONS == 2 || RNN_TAGS || RNN_TRANSLATES
#define RNN_WORK(count) (2 * (size_t)(count) * RNN_WIDTH) /* floats in which `count` symbols are read */

/* Run the layers over a whole text; return the outputs of the last one [count][RNN_WIDTH], which lie in work. */
static inline const float *rnn_layers(struct rnn *net, const int *symbols, int count, float *work) {
  float *below = work, *above = work + (size_t)count * RNN_WIDTH, *other;
  memset(net, 0, sizeof *net);
  for (int layer = 0; layer < RNN_LAYERS; layer++) {
    for (int direction = 0; direction < RNN_DIRECTIONS; direction++) {
      int run = RNN_DIRECTIONS * layer + direction;
      for (int step = 0; step < count; step++) {
        size_t t = (size_t)(direction ? count - 1 - step : step);
        if (layer == 0)
          rnn_input_symbol(net, run, symbols[t]);
        else
          rnn_product(net->from_input, rnn_input[run], below + t * RNN_WIDTH, rnn_bias_ih[run], RNN_ROWS, RNN_WIDTH);
        rnn_cell(net, run);
        memcpy(above + t * RNN_WIDTH + direction * RNN_HIDDEN, net->h[run], sizeof net->h[run]);
      }
    }
    other = below, below = above, above = other;
  }
  return below;
}
#endif

#if (RNN_DIRECTIONS == 2 || RNN_TAGS) && !RNN_TRANSLATES
/* Read a whole text, whose first symbol is 0, and put the logits after each symbol into logits[count][RNN_OUTPUTS].
   work has RNN_WORK(count) floats. */
static inline void rnn_read(struct rnn *net, const int *symbols, int count, float *work, float *logits) {
  const float *outputs = rnn_layers(net, symbols, count, work);
  for (int t = 0; t < count; t++) {
    rnn_read_out(net, outputs + (size_t)t * RNN_WIDTH);
    memcpy(logits + (size_t)t * RNN_OUTPUTS, net->logits, sizeof net->logits);
  }
}
#endif

#if RNN_WRITES
/* Return a symbol sampled from softmax(logits / temperature) over those that may follow. */
static inline int rnn_sample(const struct rnn *net, float temperature, float number) {
  const unsigned char *follow = rnn_follow + (size_t)net->allowed * RNN_SYMBOLS;
  int best = -1, last = 0;
  double total = 0, target;
  for (int k = 0; k < RNN_OUTPUTS; k++)
    if (follow[k] != 255 && (best < 0 || net->logits[k] > net->logits[best])) best = k;
  if (best < 0) return 0;
  if (temperature <= 0.0f) return best;
  for (int k = 0; k < RNN_OUTPUTS; k++)
    if (follow[k] != 255) total += exp((double)(net->logits[k] - net->logits[best]) / (double)temperature);
  target = total * (double)number;
  total = 0;
  for (int k = 0; k < RNN_OUTPUTS; k++) {
    if (follow[k] == 255) continue;
    total += exp((double)(net->logits[k] - net->logits[best]) / (double)temperature);
    last = k;
    if (total > target) break;
  }
  return last;
}
#endif

#if RNN_KIND
/* Return the next symbol of a text and move on, or -1 at its end. What the model does not know is RNN_UNKNOWN, or is
   left out if that is -1. Words are separated by blanks; of other symbols the longest that matches is taken. */
static inline int rnn_encode(const char **text) {
  for (;;) {
    int found = -1, first = RNN_NEWLINE == 0 ? 0 : 1; /* the boundary is a symbol to read if it is the newline */
    size_t size = 1;
#if RNN_KIND == 3
    while (**text == ' ' || **text == '\t' || **text == '\r') (*text)++;
    if (**text == '\0') return -1;
    if (**text != '\n')
      while ((*text)[size] && !strchr(" \t\r\n", (*text)[size])) size++;
    for (int k = first; k < RNN_SYMBOLS && found < 0; k++)
      if (rnn_symbols_length[k] == size && memcmp(rnn_symbols[k], *text, size) == 0) found = k;
#else
    size_t longest = 0;
    if (**text == '\0') return -1;
    while (((unsigned char)(*text)[size] & 0xC0) == 0x80) size++; /* a character that no symbol matches */
    for (int k = first; k < RNN_SYMBOLS; k++) {
      size_t length = rnn_symbols_length[k];
      if (length > longest && strncmp(rnn_symbols[k], *text, length) == 0) found = k, size = longest = length;
    }
#endif
    *text += size;
    if (found >= 0) return found;
#if RNN_UNKNOWN >= 0
    return RNN_UNKNOWN;
#endif
  }
}
#endif

/* TASK */
#endif
