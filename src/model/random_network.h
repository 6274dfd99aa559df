// A network of random weights for tests and benchmarks: the right shape, no knowledge.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "base/file.h"
#include "base/rng.h"
#include "model/buckets.h"
#include "model/network.h"
#include "model/safetensors.h"

namespace perennial::model {

// Every weight normal with standard deviation `scale`.
inline SafetensorsWriter random_weights(const Config& config, std::uint64_t seed, float scale = 0.3f) {
    SafetensorsWriter file;
    file.metadata("format", std::string(kNetworkFormat));
    file.metadata("version", std::string(kNetworkVersion));
    file.metadata("config", to_json(config));
    Rng rng(seed);
    for (const auto& [tensor, shape] : tensors(config)) {
        std::size_t count = 1;
        for (const auto extent : shape) count *= static_cast<std::size_t>(extent);
        std::vector<float> values(count);
        for (auto& value : values) value = scale * static_cast<float>(rng.normal());
        if (tensor == "hazard.edges_days") values = hazard_edges(static_cast<std::size_t>(config.hazard_buckets));
        file.add(tensor, shape, values);
    }
    return file;
}

inline Network random_network(const Config& config, std::uint64_t seed, float scale) {
    const TempDir scratch;
    (void)random_weights(config, seed, scale).write(scratch.path() / "w").ok();
    return Network::load(scratch.path() / "w").value();
}

}  // namespace perennial::model
