// What an adapter is asked to learn and how: the options of one task, shared by who writes them (predict/) and who trains
// (train/), and the measures that a task is judged by. R rows. Threads: plain values and pure functions.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/result.h"

namespace perennial::model {

enum class TaskKind : std::uint8_t { kBinary, kMulticlass, kRegression, kAmount, kMultilabel };  // multilabel: C yes or no, each by itself
enum class Method : std::uint8_t { kHead, kFull, kLora, kPrefix };
enum class Optimizer : std::uint8_t { kAdamW, kSgd };
enum class Schedule : std::uint8_t { kConstant, kLinear, kCosine };
enum class ClassWeights : std::uint8_t { kNone, kBalanced, kList };
enum class Metric : std::uint8_t { kLoss, kLogLoss, kAuc, kPrAuc, kBrier, kAccuracy, kMae, kRmse, kGini, kHitRate };

std::string_view name(TaskKind kind) noexcept;      // binary multiclass regression amount multilabel
std::string_view name(Method method) noexcept;      // head full lora prefix
std::string_view name(Metric metric) noexcept;      // loss log_loss auc pr_auc brier accuracy mae rmse gini hit_rate

struct TaskOptions {
    TaskKind kind = TaskKind::kBinary;
    std::int64_t classes = 2;                       // of a multiclass task; labels of a multilabel one
    Method method = Method::kHead;
    std::int64_t rank = 8;                          // of LoRA's B A
    double alpha = 16;                              // LoRA adds alpha / rank * B A
    std::int64_t prefix_length = 8;                 // trained positions before each block's keys
    std::int64_t head_hidden = 0;                   // units of a layer between state and outputs; 0: none
    Optimizer optimizer = Optimizer::kAdamW;
    double momentum = 0.9;                          // of SGD
    Schedule schedule = Schedule::kConstant;
    std::int64_t warmup_steps = 0;
    double learning_rate = 0;                       // of what is added to the network; 0: the method's own (learning_rate())
    double backbone_learning_rate = 0;              // of the network itself when method = full; 0: a tenth of the above
    double weight_decay = 0.1;                      // decoupled (AdamW), plain L2 (SGD); matrices only
    double dropout = 0.1;
    double gradient_norm_limit = 1;
    std::int64_t batch_rows = 64;
    std::int64_t epochs_limit = 40, patience = 6;   // epochs without a better metric
    Metric early_stop = Metric::kLoss;
    ClassWeights class_weights = ClassWeights::kNone;
    std::vector<double> class_weight_list;          // with kList: one a class
    double crop_share = 0;                          // of the rows of a batch, whose history keeps a random number of last steps
    double mask_share = 0;                          // of the products in a batch, hidden from the network
    double adversarial_epsilon = 0;                 // length of a step against the loss on a history's product vectors
    double label_smoothing = 0;
    std::uint64_t seed = 1;
    unsigned threads = 2;
};

// The rate that is used: learning_rate, or where that is 0, 1e-3; 3e-3 for prefix.
double learning_rate(const TaskOptions& options) noexcept;

using OptionValue = std::variant<std::int64_t, double, std::string, std::vector<double>>;
// Sets the option of that name (the names above; `class_weights` takes a name or a list). Errors: kInvalid with what was
// wanted and what came; kNotFound for a name that is none.
Status set_option(TaskOptions& options, std::string_view key, const OptionValue& value);
// What no single option can know: a metric that suits the kind, as many class weights as classes, a method that can do it.
Status check(const TaskOptions& options);
std::vector<std::string> option_names();

std::string to_json(const TaskOptions& options);
Result<TaskOptions> task_options_from_json(std::string_view text);

// Numbers of a row's target, T: C of a multilabel task, each 0 or 1; else 1.
std::size_t target_count(TaskKind kind, std::int64_t classes) noexcept;
// Numbers that the head gives a row: 1 log odds, C log shares, 1 value, (log odds of any, mu, sigma before softplus), or C log odds.
std::size_t output_count(TaskKind kind, std::int64_t classes) noexcept;
// Numbers of a prediction: 1 probability of class 1, C probabilities that sum to 1, 1 value, 1 expected amount, C probabilities.
std::size_t prediction_count(TaskKind kind, std::int64_t classes) noexcept;

// Targets of a regression are learned as (y - mean) / scale; the log-normal part of an amount as it is.
struct TargetScale { double mean = 0, scale = 1; };

// outputs [output_count] of one row to predictions [prediction_count]. An amount's is sigmoid(z) exp(mu + sigma^2 / 2)
// (Wang, Liu and Miao 2019, "A deep probabilistic model for customer lifetime value prediction"), its exponent bounded.
void to_prediction(TaskKind kind, const TargetScale& scale, std::span<const float> outputs, std::span<double> prediction);

// Negative log likelihood of one row, in double: what training minimises, without smoothing or weights; of several labels
// their mean. target [T].
double row_loss(TaskKind kind, const TargetScale& scale, std::span<const float> outputs, std::span<const float> target);

// sigma of an amount's third output: softplus with a floor, so that no row becomes infinitely likely.
inline constexpr double kSigmaMin = 0.05;
double amount_sigma(double raw) noexcept;

bool suits(Metric metric, TaskKind kind) noexcept;
bool higher_is_better(Metric metric) noexcept;
// predictions [R, prediction_count], targets [R, T] (class numbers for classes), weights [R] > 0. Weighted means; AUC and
// precision count a pair or a row by its weights. kLoss is not measured here. R = 0 gives 0. O(R log R).
// Of several labels: AUC is the mean over those that are true of some rows and false of others; log loss and Brier score
// are means over rows and labels; the hit rate is of rows with a true label, whether that with the highest prediction is one.
double measure(Metric metric, TaskKind kind, std::span<const double> predictions, std::span<const float> targets, std::span<const float> weights);

}  // namespace perennial::model
