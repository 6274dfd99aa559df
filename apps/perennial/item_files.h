// Files of the public next-item protocols: sequences of item ids, and what the items are.
#pragma once

#include <string>
#include <unordered_map>
#include <vector>

#include "commands.h"
#include "model/training_data.h"
#include "sequence/sequence.h"

namespace perennial::app {

struct ItemSequences {
    std::vector<sequence::Sequence> users;
    std::unordered_map<std::string, std::int32_t> items;  // id to number
};

// One line a user (user id, then item ids in time order) or one line an action (user id, item id; a user's lines in time
// order, not necessarily together). A file whose lines all have two words is of the second kind. Users and items get dense
// numbers by first appearance. Errors: kInvalid naming file, line and what was wanted.
Result<ItemSequences> read_sequences(const fs::path& path);

// What items are, from files of two kinds (also .gz), items unknown to `items` ignored:
//   .csv   a header; the item id stands in item_id, item, product_id, product, id or movieId, else in the first column.
//          Numbers become buckets; long texts words; short values (separated by |) themselves and their words.
//   .json  one object: item id to a value, or to an array of values.
// Errors: kInvalid naming file, place and what was wanted; also when no line names a known item.
Result<model::ProductContent> read_items(std::span<const fs::path> paths, const std::unordered_map<std::string, std::int32_t>& items);

}  // namespace perennial::app
