// A task of a shop, from its file to rows that can be learned from: what `train --task` and `bench fewlabels` share.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "predict/task_fit.h"
#include "predict/task_spec.h"
#include "predict/task_table.h"

namespace perennial::app {

// `named`: a TOML file, or a built-in task's name.
Result<predict::TaskSpec> find_task(const std::string& named);

// Labels of the file that the spec names, or built in; sets the spec's kind and classes for good. Rows of customers whom the
// shop does not know are left out and counted in the log. Errors: kInvalid naming file, line, column.
Result<predict::Labels> read_labels(const predict::ShopData& data, predict::TaskSpec& spec);

// The network that a task adapts, its vocabulary's sequences of all customers, and where the task's files go.
struct Backbone {
    std::filesystem::path weights, directory;
    sequence::Vocabulary vocabulary;
    std::vector<sequence::Sequence> sequences;
};
// The current run's, or one pretrained in `directory` (none: RUN/tasks/NAME, where it stays) that sees held-out customers only up to the first label.
// Errors: kNotFound when nothing is trained yet.
Result<Backbone> find_backbone(const predict::ShopData& data, const std::filesystem::path& shop, const predict::TaskSpec& spec, const predict::Labels& labels,
                               double seconds_limit, const std::filesystem::path& directory = {});

}  // namespace perennial::app
