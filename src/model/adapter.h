// An adapter: what one task adds to a pretrained network, in a file of its own (docs/formats/adapter.md), and the network
// with it. LoRA (Hu et al. 2021) is merged into the matrices when it is loaded, W + alpha / rank B A, so it costs nothing to
// serve; a prefix (Li and Liang 2021) is keys and values that stand before a session's own; full replaces every tensor;
// the head alone changes nothing of the network.
//
// Shapes: D width, F features, E = 1 + F extra inputs (days since the last event first), U = D + E, O outputs.
// Threads: an AdaptedNetwork is immutable, any thread may use it.
#pragma once

#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "model/network.h"
#include "model/task.h"

namespace perennial::model {

inline constexpr std::string_view kAdapterFormat = "perennial.adapter", kAdapterVersion = "1";

struct Adapter {
    TaskKind kind = TaskKind::kBinary;
    std::int64_t classes = 2;
    Method method = Method::kHead;
    std::int64_t rank = 8, prefix_length = 8, head_hidden = 0;
    double alpha = 16;
    std::string backbone;                            // fingerprint() of the weight file it was trained on
    Config config;                                   // of that network
    std::vector<std::string> features;               // [F] names, in order
    TargetScale scale;
    std::map<std::string, std::vector<float>> tensors;  // adapter_tensors(): exactly these

    std::string bytes() const;
    // Refuses with kCorrupt what lacks a tensor, has another shape, one too many, or a value that is not finite.
    static Result<Adapter> parse(std::string bytes, std::string_view file);
    static Result<Adapter> open(const std::filesystem::path& path);
};

// Names and shapes of an adapter's tensors, from everything else in it.
std::vector<TensorShape> adapter_tensors(const Adapter& adapter);

// The matrices that LoRA acts on, by their name in a weight file, with their shape [out, in].
std::vector<TensorShape> lora_targets(const Config& config);

// 16 hex digits over the bytes of a weight file.
std::string fingerprint(std::string_view weight_file_bytes);

class AdaptedNetwork {
public:
    // Errors: those of both files; kInvalid when the adapter belongs to another network.
    static Result<AdaptedNetwork> load(const std::filesystem::path& weights, const std::filesystem::path& adapter);
    static Result<AdaptedNetwork> make(NetworkTensors network, std::string_view fingerprint, Adapter adapter);

    const Network& network() const noexcept { return network_; }
    const Adapter& adapter() const noexcept { return adapter_; }
    std::size_t predictions() const noexcept { return prediction_count(adapter_.kind, adapter_.classes); }

    // A session of network(), extended by at most config().history_limit steps; features [F], NaN: missing; outputs
    // [output_count]. O(D^2) or less.
    void outputs(const Session& session, double gap_days, std::span<const float> features, std::span<float> out) const;

private:
    AdaptedNetwork(Network network, Adapter adapter) : network_(std::move(network)), adapter_(std::move(adapter)) {}

    Network network_;
    Adapter adapter_;
};

}  // namespace perennial::model
