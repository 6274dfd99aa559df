#include "task_answers.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/json.hpp>
#include <numeric>

#include "base/log.h"

namespace perennial::app {
namespace {

namespace fs = std::filesystem;
namespace json = boost::json;

// Folders of finished tasks, by name.
std::vector<fs::path> finished(const fs::path& run) {
    std::vector<fs::path> found;
    std::error_code error;
    for (const auto& entry : fs::directory_iterator(run / "tasks", error))
        if (fs::exists(entry.path() / "task.json", error)) found.push_back(entry.path());
    std::ranges::sort(found);
    return found;
}

}  // namespace

std::string TaskAnswers::stamp(const fs::path& run) {
    std::string out;
    std::error_code error;
    for (const auto& task : finished(run))
        out += fmt::format("{} {}\n", task.filename().string(), fs::last_write_time(task / "task.json", error).time_since_epoch().count());
    return out;
}

TaskAnswers::TaskAnswers(const fs::path& run, const predict::ShopModels& models) : run_(models.run) {
    for (const auto& task : finished(run)) {
        std::error_code error;
        const auto blind = task / "backbone" / "model.safetensors";
        auto model = fs::exists(blind, error) ? predict::TaskModel::load(task, blind) : predict::TaskModel::load(task, run / "model.safetensors", models.methods.network);
        if (model) tasks_.push_back(std::move(*model));
        else log::warn("task {} does not answer: {}", task.filename().string(), model.error().message);
    }
}

Result<json::array> TaskAnswers::operator()(std::span<const event::Event> timeline, std::span<const sequence::Step> steps, UtcTime as_of) const {
    json::array out;
    for (const auto& task : tasks_) {
        const std::lock_guard lock(mutex_);
        const auto p = task.predict(timeline, steps, {as_of.ms + 1});  // a task is asked just before its moment
        if (!p) return p.error();
        json::object answer{{"task", task.name}, {"kind", std::string(model::name(task.options.kind))}, {"horizon_days", task.horizon_days}};
        if (task.options.kind == model::TaskKind::kMultilabel) {
            std::vector<std::size_t> order(p->size());
            std::iota(order.begin(), order.end(), std::size_t{0});
            std::ranges::stable_sort(order, std::ranges::greater{}, [&](std::size_t k) { return (*p)[k]; });
            json::array best;
            for (const auto k : order)
                if (best.size() < kCategoriesShown) best.push_back(json::object{{"name", task.classes[k]}, {"probability", (*p)[k]}});
            answer["categories"] = std::move(best);
        } else if (task.classes.empty()) answer["value"] = p->front();
        else if (task.classes.size() == 2) answer["class"] = task.classes[1], answer["probability"] = p->front();
        else {
            json::object shares;
            for (std::size_t k = 0; k < p->size(); ++k) shares[task.classes[k]] = (*p)[k];
            answer["probabilities"] = std::move(shares);
        }
        answer["as_of"] = iso8601(as_of);
        answer["model"] = run_;
        out.push_back(std::move(answer));
    }
    return out;
}

}  // namespace perennial::app
