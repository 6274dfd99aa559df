#include "model/network.h"

#include <fmt/format.h>

#include <algorithm>
#include <cassert>

#include "base/file.h"
#include "kernels/attention.h"
#include "kernels/linear.h"
#include "kernels/norm_gate.h"
#include "model/buckets.h"
#include "model/safetensors.h"
#include "model/training_data.h"

namespace perennial::model {
namespace {

std::size_t gap_row(const Config& config, const Session& session, const Step& step) {
    if (session.empty()) return kUnknownGap;
    if (step.same_occasion) return kSameOccasionGap;
    return config.has_time ? timed_gap(step.time_ms - session.last_time_ms()) : kUnknownGap;
}

std::size_t request_row(const Config& config, const Session& session, const Request& request) {
    if (session.empty()) return kUnknownGap;
    if (request.same_occasion) return kSameOccasionGap;
    return config.has_time ? timed_gap_days(request.gap_days) : kUnknownGap;
}

void add_row(std::span<float> x, std::span<const float> table, std::size_t row) {
    const auto from = table.subspan(row * x.size(), x.size());
    for (std::size_t i = 0; i < x.size(); ++i) x[i] += from[i];
}

double softplus(double x) noexcept { return x > 30 ? x : std::log1p(std::exp(x)); }

}  // namespace

Result<NetworkTensors> read_network(std::string bytes, std::string_view origin) {
    auto file = Safetensors::parse(std::move(bytes), origin);
    if (!file) return file.error();
    const auto format = file->text("format"), version = file->text("version"), config = file->text("config");
    if (!format || *format != kNetworkFormat)
        return Error{Code::kInvalid, fmt::format("{}: want format '{}', got '{}'", origin, kNetworkFormat, format ? *format : "")};
    if (!version || *version != kNetworkVersion)
        return Error{Code::kUnsupported, fmt::format("{}: want version {}, got '{}'", origin, kNetworkVersion, version ? *version : "")};
    if (!config) return config.error();
    auto shape = config_from_json(*config);
    if (!shape) return Error{shape.error().code, fmt::format("{}: {}", origin, shape.error().message)};

    NetworkTensors network{*shape, {}, {}};
    for (const auto& [tensor, extents] : tensors(*shape)) {
        auto got = file->floats(tensor, extents);
        if (!got) return got.error();
        network.values[tensor] = std::move(*got);
    }
    if (network.values.size() != file->tensors().size())
        return Error{Code::kCorrupt, fmt::format("{}: want {} tensors, got {}", origin, network.values.size(), file->tensors().size())};
    return network;
}

Result<Network> Network::load(const std::filesystem::path& path) {
    auto bytes = read_file(path);
    if (!bytes) return bytes.error();
    auto tensors = read_network(std::move(*bytes), path.string());
    if (!tensors) return tensors.error();
    auto network = make(std::move(*tensors));
    if (!network) return Error{network.error().code, fmt::format("{}: {}", path.string(), network.error().message)};
    return network;
}

Result<Network> Network::make(NetworkTensors tensors) {
    const auto take = [&](const std::string& tensor) { return std::move(tensors.values.at(tensor)); };
    Network network;
    network.config_ = tensors.config;
    network.product_ = take("product.weight");
    network.product_bias_ = take("product.bias");
    network.kind_ = take("kind.weight");
    network.quantity_ = take("quantity.weight");
    network.gap_ = take("gap.weight");
    network.start_ = take("start");
    for (std::int64_t b = 0; b < tensors.config.blocks; ++b) {
        const auto part = [&](const char* tensor) { return take(fmt::format("block.{}.{}", b, tensor)); };
        network.blocks_.push_back({part("attention.norm"), part("attention.qkv"), part("attention.out"), part("attention.gate.weight"),
                                   part("attention.gate.bias"), part("attention.lag_bias"), part("attention.stamp_bias"), part("ffn.norm"),
                                   part("ffn.in"), part("ffn.out"), part("ffn.gate.weight"), part("ffn.gate.bias")});
    }
    network.norm_ = take("norm");
    network.request_scale_ = take("request.scale");
    network.request_shift_ = take("request.shift");
    network.hazard_ = take("hazard.weight");
    network.hazard_bias_ = take("hazard.bias");
    network.edges_days_ = take("hazard.edges_days");
    network.prefix_ = std::move(tensors.prefix);
    if (!network.prefix_.empty()) network.prefix_length_ = network.prefix_.front().size() / static_cast<std::size_t>(2 * network.config_.width);
    const auto& edges = network.edges_days_;
    if (edges.front() != 0 || !std::ranges::all_of(edges, [](float edge) { return std::isfinite(edge); }) || std::ranges::adjacent_find(edges, std::ranges::greater_equal{}) != edges.end())
        return Error{Code::kCorrupt, "hazard.edges_days: want 0 first, then growing"};
    network.index_ = make_exact_index(network.product_table());
    return network;
}

std::size_t Session::bytes() const noexcept {
    std::size_t bytes = stamps_.capacity() * sizeof(std::int64_t) + hidden_.capacity() * sizeof(float);
    for (const auto& cache : cache_) bytes += cache.capacity() * sizeof(float);
    return sizeof *this + bytes + cache_.capacity() * sizeof cache_[0];
}

Session Network::start() const {
    Session session;
    session.cache_ = prefix_;
    session.cache_.resize(blocks_.size());
    session.stamps_.resize(prefix_length_);  // times come with the first step
    session.hidden_ = start_;
    return session;
}

void Network::extend(Session& session, const Step& step) const {
    assert(step.kind < kKindsLimit && step.quantity < kQuantityBuckets);
    const auto width = static_cast<std::size_t>(config_.width), window = static_cast<std::size_t>(config_.history_limit);
    std::vector<float> x(width);
    if (step.product >= 0 && step.product < config_.products) add_row(x, product_, static_cast<std::size_t>(step.product));
    add_row(x, kind_, step.kind);
    add_row(x, quantity_, step.quantity);
    add_row(x, gap_, gap_row(config_, session, step));

    if (session.empty()) std::ranges::fill(session.stamps_, step.time_ms);
    // Old positions are dropped a window at a time, so that the move is rare; behind a prefix one by one, which keeps what
    // is attended to in one piece.
    if (prefix_length_ > 0) {
        if (session.stamps_.size() == prefix_length_ + window) {
            const auto oldest = static_cast<std::ptrdiff_t>(prefix_length_);
            session.stamps_.erase(session.stamps_.begin() + oldest);
            const auto row = static_cast<std::ptrdiff_t>(2 * width);
            for (auto& cache : session.cache_) cache.erase(cache.begin() + oldest * row, cache.begin() + (oldest + 1) * row);
        }
    } else if (session.stamps_.size() >= 2 * window) {
        const auto gone = session.stamps_.size() - (window - 1);
        session.stamps_.erase(session.stamps_.begin(), session.stamps_.begin() + static_cast<std::ptrdiff_t>(gone));
        for (auto& cache : session.cache_) cache.erase(cache.begin(), cache.begin() + static_cast<std::ptrdiff_t>(gone * 2 * width));
    }
    session.stamps_.push_back(step.time_ms);
    for (std::size_t b = 0; b < blocks_.size(); ++b) run_block(b, x, session);
    kernels::rms_norm(x, norm_, session.hidden_, kNormEps);
    session.last_time_ms_ = step.time_ms;
    ++session.steps_;
}

void Network::run_block(std::size_t index, std::span<float> x, Session& session) const {
    const Block& block = blocks_[index];
    auto& cache = session.cache_[index];
    const auto width = x.size(), heads = static_cast<std::size_t>(config_.heads), hidden = static_cast<std::size_t>(config_.hidden);
    const auto count = std::min(session.stamps_.size(), prefix_length_ + static_cast<std::size_t>(config_.history_limit));
    std::vector<float> norm(width), qkv(3 * width), attended(width), branch(width), gate(width);

    kernels::rms_norm(x, block.attention_norm, norm, kNormEps);
    kernels::linear(norm, block.qkv, {}, qkv, width, 3 * width);
    cache.insert(cache.end(), qkv.begin() + static_cast<std::ptrdiff_t>(width), qkv.end());
    std::vector<float> bias(heads * count), weights(heads * count);
    const kernels::PairBias tables{block.lag_bias, config_.has_time ? std::span<const float>(block.stamp_bias) : std::span<const float>(),
                                   stamp_edges(), heads};
    kernels::pair_bias(tables, config_.has_time ? std::span(session.stamps_).last(count) : std::span(session.stamps_).first(0), count, bias);
    const float* oldest = cache.data() + cache.size() - count * 2 * width;
    kernels::attend_row({qkv.data(), oldest, oldest + width, bias.data(), weights.data(), 2 * width, count, heads, width / heads}, attended);
    kernels::linear(attended, block.attention_out, {}, branch, width, width);
    kernels::linear(norm, block.attention_gate, block.attention_gate_bias, gate, width, width);
    kernels::gated_add(x, gate, branch);

    std::vector<float> wide(2 * hidden), active(hidden);
    kernels::rms_norm(x, block.ffn_norm, norm, kNormEps);
    kernels::linear(norm, block.ffn_in, {}, wide, width, 2 * hidden);
    kernels::swiglu(wide, active, hidden);
    kernels::linear(active, block.ffn_out, {}, branch, hidden, width);
    kernels::linear(norm, block.ffn_gate, block.ffn_gate_bias, gate, width, width);
    kernels::gated_add(x, gate, branch);
}

void Network::requested(const Session& session, const Request& request, std::span<float> out) const {
    const auto row = request_row(config_, session, request) * out.size();
    for (std::size_t i = 0; i < out.size(); ++i) out[i] = session.hidden_[i] * (1 + request_scale_[row + i]) + request_shift_[row + i];
}

void Network::scores(const Session& session, const Request& request, std::span<float> logits) const {
    const Session* one = &session;
    scores(std::span<const Session* const>(&one, 1), std::span(&request, 1), logits);
}

void Network::scores(const Session& session, const Request& request, std::span<const std::int32_t> products, std::span<float> logits) const {
    std::vector<float> query(static_cast<std::size_t>(config_.width));
    requested(session, request, query);
    kernels::linear_rows(query, product_, product_bias_, products, logits);
}

void Network::scores(std::span<const Session* const> sessions, std::span<const Request> requests, std::span<float> logits) const {
    assert(sessions.size() == requests.size() && logits.size() == sessions.size() * products());
    const auto width = static_cast<std::size_t>(config_.width);
    std::vector<float> queries(sessions.size() * width);
    for (std::size_t s = 0; s < sessions.size(); ++s)
        requested(*sessions[s], requests[s], std::span(queries).subspan(s * width, width));
    if (!logits.empty()) kernels::linear(queries, product_, product_bias_, logits, width, products());
}

void Network::top(std::span<TopRequest> requests) const {
    const auto width = static_cast<std::size_t>(config_.width);
    std::vector<float> vectors(requests.size() * width);
    std::vector<TopQuery> queries;
    queries.reserve(requests.size());
    for (std::size_t i = 0; i < requests.size(); ++i) {
        const auto vector = std::span(vectors).subspan(i * width, width);
        requested(*requests[i].session, requests[i].request, vector);
        queries.push_back({vector, requests[i].excluded, requests[i].best});
    }
    index_->top(queries);
    for (std::size_t i = 0; i < requests.size(); ++i) requests[i].count = queries[i].count;
}

// With logit z of bucket k, P(purchase in k | none before) = sigmoid(z), so -log of the chance of none is softplus(z);
// a constant hazard spends it evenly over the bucket.
double Network::survival(const Session& session, double from_days, double to_days) const {
    assert(0 <= from_days && from_days <= to_days);
    std::vector<float> logits(hazard_bias_.size());
    kernels::linear(session.hidden_, hazard_, hazard_bias_, logits, session.hidden_.size(), logits.size());
    return std::exp(cumulative_hazard(logits, from_days) - cumulative_hazard(logits, to_days));
}

double Network::cumulative_hazard(std::span<const float> logits, double days) const {
    double sum = 0;
    for (std::size_t k = 0; k < logits.size(); ++k) {
        const double begin = edges_days_[k], end = edges_days_[k + 1];
        if (days <= begin) break;
        const bool last = k + 1 == logits.size();
        sum += softplus(logits[k]) * ((last ? days : std::min(days, end)) - begin) / (end - begin);
    }
    return sum;
}

std::span<const float> Network::hidden(const Session& session) const noexcept { return session.hidden_; }

std::span<const float> Network::product_vector(std::int32_t product) const noexcept {
    assert(product >= 0 && product < config_.products);
    return std::span(product_).subspan(static_cast<std::size_t>(product) * static_cast<std::size_t>(config_.width), static_cast<std::size_t>(config_.width));
}

}  // namespace perennial::model
