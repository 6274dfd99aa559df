// The network's forward pass on our own kernels: a customer's state is extended by one event without recomputing the
// history, then asked for product scores and for the time to the next purchase. It agrees with train/'s to 1e-5.
//
// Shapes: P products, D width, H heads, K hazard buckets. Float32.
// Threads: a Network is immutable, any thread may use it. A Session belongs to one thread at a time.
#pragma once

#include <cmath>
#include <cstdint>
#include <filesystem>
#include <limits>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "model/config.h"
#include "model/product_index.h"

namespace perennial::model {

struct Step {
    std::int32_t product = -1;  // -1, or one the network does not know: none
    std::uint8_t kind = 0;      // < 32
    std::uint8_t quantity = 0;  // bucket, < 16
    std::int64_t time_ms = 0;
    bool same_occasion = false;  // as the step before
};

// What the network keeps of a customer: keys and values of the last history_limit positions. A value; copies are
// independent. 2 L D floats a position. An empty one stands for a customer without events.
class Session {
public:
    bool empty() const noexcept { return steps_ == 0; }
    std::uint64_t steps() const noexcept { return steps_; }                 // ever taken
    std::size_t bytes() const noexcept;                                     // of memory, as reserved
    std::int64_t last_time_ms() const noexcept { return last_time_ms_; }

private:
    friend class Network;
    std::uint64_t steps_ = 0;
    std::int64_t last_time_ms_ = 0;
    std::vector<std::int64_t> stamps_;       // [n] of the positions kept
    std::vector<std::vector<float>> cache_;  // per block [n, 2D]: key, value
    std::vector<float> hidden_;              // [D]
};

struct Request {
    // Days from the session's last event to the moment asked about; NaN: unknown. Not read when same_occasion.
    double gap_days = std::numeric_limits<double>::quiet_NaN();
    bool same_occasion = false;  // asked within the occasion of the last event (a basket being filled)
};

// A weight file in memory, for who changes tensors before a network is made of them (adapter.h).
struct NetworkTensors {
    Config config;
    std::map<std::string, std::vector<float>> values;  // tensors(config), exactly these
    std::vector<std::vector<float>> prefix;            // none, or per block [M, 2D]: trained keys and values before a session's own
};
// Errors: kCorrupt for damaged bytes; kInvalid or kUnsupported for another format or version. `file` is named in them.
Result<NetworkTensors> read_network(std::string bytes, std::string_view file);

// A customer asking for the best products: those with the highest logits, the lower number first among equals.
struct TopRequest {
    const Session* session = nullptr;
    Request request;
    std::span<const std::int32_t> excluded;  // ascending: never offered, as what was seen before
    std::span<Ranked> best;                  // result, best first
    std::size_t count = 0;                   // result: how many of `best` were written, fewer when fewer products are left
};

// Moves, does not copy: the index looks at the tables.
class Network {
public:
    // Errors: kNotFound, kIo; kCorrupt for a damaged file; kInvalid or kUnsupported for another format or version.
    static Result<Network> load(const std::filesystem::path& path);
    // Errors: kCorrupt for hazard edges that do not grow from 0.
    static Result<Network> make(NetworkTensors tensors);

    const Config& config() const noexcept { return config_; }
    std::size_t products() const noexcept { return static_cast<std::size_t>(config_.products); }

    Session start() const;

    // One event. O(L (D^2 + history_limit D)). Each position's attention sees the last history_limit positions, itself
    // included; what fell out still acts through the positions that saw it. So the same steps always give the same
    // state, and a session rebuilt from the last L (history_limit - 1) + 1 steps is the whole one.
    // A prefix is seen by every position beside those, at the time of the session's first step.
    void extend(Session& session, const Step& step) const;

    // Logits of all products [P]. O(P D).
    void scores(const Session& session, const Request& request, std::span<float> logits) const;
    // Logits of chosen products only, each 0..P-1.
    void scores(const Session& session, const Request& request, std::span<const std::int32_t> products, std::span<float> logits) const;
    // Many sessions at once, logits [n, P]: the product table is read once for all. n = sessions.size() = requests.size().
    void scores(std::span<const Session* const> sessions, std::span<const Request> requests, std::span<float> logits) const;

    // The best products of each customer: as scores() by chosen products and sorting, at a fraction of its cost
    // (product_index.h). Several requests in one call share the reading of the product table.
    void top(std::span<TopRequest> requests) const;
    ProductTable product_table() const noexcept { return {product_, product_bias_, static_cast<std::size_t>(config_.width)}; }

    // P(no purchase until to_days | none until from_days), days counted from the last event; 0 <= from <= to. From a
    // discrete hazard held constant inside each bucket; past the last edge its last rate goes on. 1 when to == from.
    double survival(const Session& session, double from_days, double to_days) const;

    // The state as it answers at the moment of the request [D]: what scores() compares with the products' vectors.
    void requested(const Session& session, const Request& request, std::span<float> out) const;
    // The customer vector [D] after the last event. Valid until the session changes.
    std::span<const float> hidden(const Session& session) const noexcept;
    std::span<const float> product_vector(std::int32_t product) const noexcept;  // [D]

private:
    friend class Explainer;  // attribution.h
    struct Block {
        std::vector<float> attention_norm, qkv, attention_out, attention_gate, attention_gate_bias, lag_bias, stamp_bias;
        std::vector<float> ffn_norm, ffn_in, ffn_out, ffn_gate, ffn_gate_bias;
    };
    void run_block(std::size_t index, std::span<float> x, Session& session) const;
    double cumulative_hazard(std::span<const float> logits, double days) const;

    Config config_;
    std::vector<float> product_, product_bias_, kind_, quantity_, gap_, start_;
    std::vector<Block> blocks_;
    std::vector<std::vector<float>> prefix_;  // per block [M, 2D], or none
    std::size_t prefix_length_ = 0;           // M
    std::vector<float> norm_, request_scale_, request_shift_, hazard_, hazard_bias_, edges_days_;
    std::unique_ptr<const ProductIndex> index_;  // of product_ and product_bias_
};

}  // namespace perennial::model
