// A whole training step of an LSTM language model on oneDNN: the rival of benchmarks/training_speed.py.
//
// Called as: onednn_lstm FILE T B V I H L bfloat16 rate clip; without arguments it writes the version. FILE holds
// float32 weights, then int32 inputs and targets (T, B). Of each layer: W_ih (inputs, 4, H), W_hh (H, 4, H) and one bias
// (4, H), in PyTorch's order of gates, which is oneDNN's; then the decoder's weight (H, V) and bias (V). Layer 0 reads
// one-hot vectors of I >= V columns.
//
// For each line with a number of seconds on standard input, it makes steps for so long, at least one, and writes the
// loss and the norm of the gradient of the last step, then the seconds of each step. A step is forward, softmax and
// cross-entropy, backward through the window, clipping by the global norm, Adam, and the final state as the next
// initial one. Layers are oneDNN's lstm primitives in the layouts that they choose, the readout its matmul primitive.
// All memory is taken once.

#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iostream>
#include <unordered_map>
#include <vector>

#include "dnnl.hpp"

#if DNNL_CPU_RUNTIME != DNNL_RUNTIME_OMP
#error "this oneDNN is not built for OpenMP"
#endif

using namespace dnnl;
using dims = memory::dims;
using dt = memory::data_type;
using tag = memory::format_tag;
using Arguments = std::unordered_map<int, memory>;

engine cpu(engine::kind::cpu, 0);
stream queue(cpu);

// The interface of version 3 takes an operation's description directly, that of version 2 in an object of its own.
template <class P, class... A> typename P::primitive_desc forward_of(const A &...a) {
#if DNNL_VERSION_MAJOR >= 3
    return typename P::primitive_desc(cpu, a...);
#else
    return typename P::primitive_desc(typename P::desc(a...), cpu);
#endif
}

template <class... A>
lstm_backward::primitive_desc backward_of(const lstm_forward::primitive_desc &hint, const A &...a) {
#if DNNL_VERSION_MAJOR >= 3
    return lstm_backward::primitive_desc(cpu, a..., hint);
#else
    return lstm_backward::primitive_desc(lstm_backward::desc(a...), cpu, hint);
#endif
}

memory::desc plain(const dims &sizes, dt type, tag order) { return memory::desc(sizes, type, order); }
memory::desc any(const dims &sizes, dt type) { return memory::desc(sizes, type, tag::any); }
memory::desc strided(const dims &sizes, dt type, const dims &strides) { return memory::desc(sizes, type, strides); }

memory make(const memory::desc &desc) {
    memory made(desc, cpu);
    std::memset(made.get_data_handle(), 0, desc.get_size());
    return made;
}

memory view(const memory::desc &desc, void *data) { return memory(desc, cpu, data); }

// Memory in the layout that a primitive chose: that of `from` if it is the same, else new memory with a reorder.
struct Reordered {
    memory from, to;
    bool same;
    reorder move;
    Reordered(const memory &from, const memory::desc &desc)
        : from(from), to(from), same(from.get_desc() == desc) {
        if (!same) to = make(desc), move = reorder(this->from, to);
    }
    void run() { if (!same) move.execute(queue, from, to); }
};

// A gradient in the layout that a primitive chose, which adds to it, and its way to the flat vector.
struct Gradient {
    memory flat, made;
    bool same;
    reorder move;
    Gradient(const memory &flat, const memory::desc &desc) : flat(flat), made(flat), same(flat.get_desc() == desc) {
        if (!same) made = make(desc), move = reorder(made, this->flat);
    }
    void clear() {
        float *data = static_cast<float *>(made.get_data_handle());
        const int64_t size = made.get_desc().get_size() / sizeof(float);
#pragma omp parallel for simd schedule(static)
        for (int64_t k = 0; k < size; k++) data[k] = 0;
    }
    void finish() { if (!same) move.execute(queue, made, flat); }
};

uint16_t to_bfloat16(float value) {
    uint32_t bits;
    std::memcpy(&bits, &value, 4);
    return uint16_t((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}

template <class N> N number(float value);
template <> float number<float>(float value) { return value; }
template <> uint16_t number<uint16_t>(float value) { return to_bfloat16(value); }

struct Layer {
    memory x, y, h0, c0, h1, c1, dx, dy, zero, dh0, dc0, workspace;
    std::vector<Reordered> weights;   // forward: W_ih, W_hh; backward: W_ih, W_hh
    std::vector<Gradient> gradients;  // of W_ih, W_hh and the bias
    lstm_forward forward;
    lstm_backward backward;
    Arguments ahead, back;

    Layer(int64_t T, int64_t B, int64_t I, int64_t H, dt type, float *parameters, float *grads, memory input,
        memory grad_input) {
        const auto way = rnn_direction::unidirectional_left2right;
        const dims layer{1, 1, I, 4, H}, iter{1, 1, H, 4, H}, state{1, 1, B, H};
        const auto in = plain({T, B, I}, type, tag::tnc), out = plain({T, B, H}, type, tag::tnc);
        const auto h = plain(state, type, tag::ldnc), c = plain(state, dt::f32, tag::ldnc);
        // Gradients are float32 in both precisions: oneDNN has no others.
        const auto grad_in = plain({T, B, I}, dt::f32, tag::tnc), grad_out = plain({T, B, H}, dt::f32, tag::tnc);
        const auto bias = plain({1, 1, 4, H}, dt::f32, tag::ldgo);
        const auto ahead_of = forward_of<lstm_forward>(prop_kind::forward_training, way, in, h, c, any(layer, type),
            any(iter, type), bias, out, h, c);
        const auto back_of = backward_of(ahead_of, prop_kind::backward, way, in, h, c, any(layer, type),
            any(iter, type), bias, out, h, c, grad_in, c, c, any(layer, dt::f32), any(iter, dt::f32), bias, grad_out,
            c, c);
        forward = lstm_forward(ahead_of);
        backward = lstm_backward(back_of);
        x = input, y = make(out), dx = grad_input, dy = make(grad_out), workspace = make(ahead_of.workspace_desc());
        for (memory *each : {&h0, &h1}) *each = make(h);
        for (memory *each : {&c0, &c1, &zero, &dh0, &dc0}) *each = make(c);

        const int64_t at_iter = I * 4 * H, at_bias = at_iter + H * 4 * H;
        const auto flat_layer = plain(layer, dt::f32, tag::ldigo), flat_iter = plain(iter, dt::f32, tag::ldigo);
        const memory master_layer = view(flat_layer, parameters), master_iter = view(flat_iter, parameters + at_iter);
        weights = {{master_layer, ahead_of.weights_layer_desc()}, {master_iter, ahead_of.weights_iter_desc()},
            {master_layer, back_of.weights_layer_desc()}, {master_iter, back_of.weights_iter_desc()}};
        gradients = {{view(flat_layer, grads), back_of.diff_weights_layer_desc()},
            {view(flat_iter, grads + at_iter), back_of.diff_weights_iter_desc()}, {view(bias, grads + at_bias), bias}};
        const Arguments common{{DNNL_ARG_SRC_LAYER, x}, {DNNL_ARG_SRC_ITER, h0}, {DNNL_ARG_SRC_ITER_C, c0},
            {DNNL_ARG_BIAS, view(bias, parameters + at_bias)}, {DNNL_ARG_DST_LAYER, y}, {DNNL_ARG_DST_ITER, h1},
            {DNNL_ARG_DST_ITER_C, c1}, {DNNL_ARG_WORKSPACE, workspace}};
        ahead = common, back = common;
        ahead.insert({{DNNL_ARG_WEIGHTS_LAYER, weights[0].to}, {DNNL_ARG_WEIGHTS_ITER, weights[1].to}});
        back.insert({{DNNL_ARG_WEIGHTS_LAYER, weights[2].to}, {DNNL_ARG_WEIGHTS_ITER, weights[3].to},
            {DNNL_ARG_DIFF_SRC_LAYER, dx}, {DNNL_ARG_DIFF_SRC_ITER, dh0}, {DNNL_ARG_DIFF_SRC_ITER_C, dc0},
            {DNNL_ARG_DIFF_WEIGHTS_LAYER, gradients[0].made}, {DNNL_ARG_DIFF_WEIGHTS_ITER, gradients[1].made},
            {DNNL_ARG_DIFF_BIAS, gradients[2].made}, {DNNL_ARG_DIFF_DST_LAYER, dy},
            {DNNL_ARG_DIFF_DST_ITER, zero}, {DNNL_ARG_DIFF_DST_ITER_C, zero}});
    }
};

// Replace logits by log-probabilities' gradient in the mean loss, as numbers of type N in `grads`; return the loss.
template <class N> double score(float *logits, N *grads, const int32_t *targets, int64_t rows, int64_t V, float *bias) {
    double total = 0;
    std::vector<float> column_sums(V, 0);
    float *sums = column_sums.data();
#pragma omp parallel for reduction(+ : total) reduction(+ : sums[:V]) schedule(static)
    for (int64_t row = 0; row < rows; row++) {
        float *z = logits + row * V, top = z[0], sum = 0;
        for (int64_t j = 1; j < V; j++) top = std::max(top, z[j]);
        total += top - z[targets[row]];
        for (int64_t j = 0; j < V; j++) z[j] = expf(z[j] - top), sum += z[j];
        total += logf(sum);
        const float scale = 1.0f / (sum * rows);
        for (int64_t j = 0; j < V; j++) z[j] *= scale;
        z[targets[row]] -= 1.0f / rows;
        for (int64_t j = 0; j < V; j++) sums[j] += z[j], grads[row * V + j] = number<N>(z[j]);
    }
    std::memcpy(bias, sums, V * sizeof(float));
    return total / rows;
}

// Make rows of zeros one-hot for `symbols`, after those of `before`, of the last step, are cleared again.
template <class N>
void set_ones(void *x, std::vector<int32_t> &before, const std::vector<int32_t> &symbols, int64_t I) {
    N *data = static_cast<N *>(x);
    for (size_t k = 0; k < symbols.size(); k++) {
        data[k * I + before[k]] = 0;
        data[k * I + symbols[k]] = number<N>(1);
    }
    before = symbols;
}

int main(int count, char **argv) {
    const version_t *is = version();
    if (count < 11) return printf("%d.%d.%d\n", is->major, is->minor, is->patch), 0;
    const int64_t T = atoll(argv[2]), B = atoll(argv[3]), V = atoll(argv[4]), I = atoll(argv[5]), H = atoll(argv[6]);
    const int64_t L = atoll(argv[7]), rows = T * B;
    const bool half = atoi(argv[8]);
    const float rate = atof(argv[9]), clip = atof(argv[10]);
    const dt type = half ? dt::bf16 : dt::f32;
    std::vector<int64_t> starts{0};
    for (int64_t k = 0; k < L; k++) starts.push_back(starts[k] + ((k ? H : I) + H + 1) * 4 * H);
    const int64_t decoder = starts[L], size = decoder + (H + 1) * V;
    std::vector<float> parameters(size), grads(size), moment1(size), moment2(size);
    std::vector<int32_t> inputs(rows), targets(rows), last_inputs(rows);
    std::ifstream file(argv[1], std::ios::binary);
    file.read((char *)parameters.data(), size * 4).read((char *)inputs.data(), rows * 4);
    if (!file.read((char *)targets.data(), rows * 4)) return fputs("the file of weights is too short\n", stderr), 1;

    std::vector<Layer> layers;
    const memory one_hot = make(plain({T, B, I}, type, tag::tnc));
    for (int64_t k = 0; k < L; k++)
        layers.emplace_back(T, B, k ? H : I, H, type, &parameters[starts[k]], &grads[starts[k]],
            k ? layers[k - 1].y : one_hot, k ? layers[k - 1].dy : make(plain({T, B, I}, dt::f32, tag::tnc)));

    // logits = y W + b; grad_W = y^T grad_logits; grad_y = grad_logits W^T
    const memory::desc y(dims{rows, H}, type, tag::ab), y_turned = strided({H, rows}, type, {1, H});
    const memory::desc w(dims{H, V}, type, tag::ab), w_turned = strided({V, H}, type, {1, V});
    const memory::desc w_master(dims{H, V}, dt::f32, tag::ab), b(dims{1, V}, dt::f32, tag::ab);
    const memory::desc dy(dims{rows, H}, dt::f32, tag::ab), z(dims{rows, V}, dt::f32, tag::ab);
    const memory::desc dz(dims{rows, V}, type, tag::ab);
    memory logits = make(z), grad_logits = make(dz);
    Reordered weight(view(w_master, &parameters[decoder]), w);
    const auto read_of = forward_of<matmul>(y, w, b, z);
    const matmul read(read_of), weight_back(forward_of<matmul>(y_turned, dz, w_master));
    const matmul output_back(forward_of<matmul>(dz, w_turned, dy));
    void *top = layers[L - 1].y.get_data_handle(), *top_grad = layers[L - 1].dy.get_data_handle();
    const Arguments read_with{{DNNL_ARG_SRC, view(y, top)}, {DNNL_ARG_WEIGHTS, weight.to},
        {DNNL_ARG_BIAS, view(b, &parameters[decoder + H * V])}, {DNNL_ARG_DST, logits}};
    const Arguments weight_with{{DNNL_ARG_SRC, view(y_turned, top)}, {DNNL_ARG_WEIGHTS, grad_logits},
        {DNNL_ARG_DST, view(w_master, &grads[decoder])}};
    const Arguments output_with{{DNNL_ARG_SRC, grad_logits},
        {DNNL_ARG_WEIGHTS, view(w_turned, weight.to.get_data_handle())}, {DNNL_ARG_DST, view(dy, top_grad)}};

    double loss = 0, norm = 0;
    int number_of_step = 0;
    const auto step = [&] {
        half ? set_ones<uint16_t>(one_hot.get_data_handle(), last_inputs, inputs, I)
             : set_ones<float>(one_hot.get_data_handle(), last_inputs, inputs, I);
        weight.run();
        for (Layer &layer : layers) {
            for (Reordered &each : layer.weights) each.run();
            layer.forward.execute(queue, layer.ahead);
        }
        read.execute(queue, read_with);
        queue.wait();
        float *z = static_cast<float *>(logits.get_data_handle()), *grad_bias = &grads[decoder + H * V];
        void *dz = grad_logits.get_data_handle();
        loss = half ? score(z, static_cast<uint16_t *>(dz), targets.data(), rows, V, grad_bias)
                    : score(z, static_cast<float *>(dz), targets.data(), rows, V, grad_bias);
        weight_back.execute(queue, weight_with);
        output_back.execute(queue, output_with);
        for (int64_t k = L - 1; k >= 0; k--) {
            Layer &layer = layers[k];
            for (Gradient &each : layer.gradients) each.clear();
            layer.backward.execute(queue, layer.back);
            for (Gradient &each : layer.gradients) each.finish();
        }
        queue.wait();

        double squares = 0;
#pragma omp parallel for simd reduction(+ : squares) schedule(static)
        for (int64_t k = 0; k < size; k++) squares += double(grads[k]) * grads[k];
        norm = std::sqrt(squares);
        number_of_step++;
        const float scale = std::min(1.0, clip / (norm + 1e-6));
        const float size_of_step = rate / (1 - std::pow(0.9, number_of_step));
        const float correction = 1 / std::sqrt(1 - std::pow(0.999, number_of_step));
#pragma omp parallel for simd schedule(static)
        for (int64_t k = 0; k < size; k++) {
            const float g = grads[k] * scale;
            moment1[k] = 0.9f * moment1[k] + 0.1f * g;
            moment2[k] = 0.999f * moment2[k] + 0.001f * g * g;
            parameters[k] -= size_of_step * moment1[k] / (std::sqrt(moment2[k]) * correction + 1e-8f);
        }
        for (Layer &layer : layers) {
            std::memcpy(layer.h0.get_data_handle(), layer.h1.get_data_handle(), layer.h0.get_desc().get_size());
            std::memcpy(layer.c0.get_data_handle(), layer.c1.get_data_handle(), layer.c0.get_desc().get_size());
        }
    };

    std::cout.precision(10);
    double seconds;
    while (std::cin >> seconds) {
        using clock = std::chrono::steady_clock;
        const auto first = clock::now();
        std::vector<double> times;
        do {
            const auto start = clock::now();
            step();
            times.push_back(std::chrono::duration<double>(clock::now() - start).count());
        } while (std::chrono::duration<double>(clock::now() - first).count() < seconds);
        std::cout << loss << ' ' << norm;
        for (double time : times) std::cout << ' ' << time;
        std::cout << std::endl;
    }
}
