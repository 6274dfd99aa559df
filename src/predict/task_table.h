// The rows of a task: customers at moments, what was known of them just before, and what came true.
// Nothing at or after a row's own time reaches its features or its history; histories are cut at a customer's last label
// before they leave for the trainer. Threads: pure functions.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "model/task_data.h"
#include "predict/categories.h"
#include "predict/shop_data.h"
#include "predict/task_spec.h"

namespace perennial::predict {

struct Label {
    std::size_t customer = 0;  // place in ShopData
    UtcTime time;              // the state just before is asked; a built-in outcome begins here
    float target = 0;
    float weight = 1;
};

struct Labels {
    std::vector<Label> rows;
    std::vector<std::string> classes;  // names, in the order of their numbers; none for values
    Categories categories;             // of a built-in category task; a row's own target is then whether any is bought
    std::vector<float> targets;        // [rows, C] of them
};

// Labels of spec.builtin. Errors: kInvalid when the shop's history is too short for the horizon.
Result<Labels> builtin_labels(const ShopData& data, const TaskSpec& spec);

struct TaskTable {
    model::TrainingData data;
    model::TaskRows rows;               // held-out rows are only predicted
    std::vector<std::size_t> customer;  // [R] place in ShopData
    std::vector<UtcTime> time;          // [R]
    std::vector<bool> held_out;         // [R]
    profile::ShopRhythm rhythm;         // before the first row: what the features read
    Categories categories;              // as in Labels
    std::vector<float> own;             // [R, C, kOwnColumns] own_history() of them
};

// Other folds of the learned rows, as many, dealt to customers anew by `seed`; -1: only predicted. [R]
std::vector<std::int32_t> dealt_again(const TaskTable& table, bool classes, std::uint64_t seed);

// True when the customer judges; the same customers for every task of a shop and every method.
bool held_out(const profile::CustomerKey& customer, double share);

// `sequences` in the words of the backbone's vocabulary of `products`, beside data.timelines. Labels beyond spec.labels_limit are left
// out by seed; folds are dealt to customers, alike for each class.
// Errors: kInvalid when fewer than two customers learn or none judges.
Result<TaskTable> make_task_table(const ShopData& data, std::span<const sequence::Sequence> sequences, std::size_t products, const Labels& labels,
                                  const TaskSpec& spec);

// Hand features of a customer at a moment, NaN for missing: what trees read and heads may. Names: feature_names().
std::vector<float> task_features(std::span<const event::Event> timeline, UtcTime time, const profile::ShopRhythm& rhythm);
std::vector<std::string> feature_names();

}  // namespace perennial::predict
