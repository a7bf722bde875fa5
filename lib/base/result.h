// Result<T>: a value, or one sentence that says why there is none.
//
// Errors travel as values: constructors do not fail, workers have no errors at all. The names are
// std::expected's (C++23), which g++ 12 offers only under -std=c++23.
#pragma once

#include <cassert>
#include <optional>
#include <string>
#include <utility>

namespace shunt {

/// Why something was not done: one sentence that names the thing, the reason and, if there is one,
/// the remedy. `status` is the exit status a command ends with (1 failed, 2 wrong usage).
struct Error {
  std::string message;
  int status = 1;
};

template <class T>
class [[nodiscard]] Result {
 public:
  Result(T value) : x_value(std::move(value)) {}
  Result(Error error) : x_error(std::move(error)) {}

  bool has_value() const { return x_value.has_value(); }
  explicit operator bool() const { return has_value(); }
  T& value() { return assert(has_value()), *x_value; }
  const T& value() const { return assert(has_value()), *x_value; }
  T& operator*() { return value(); }
  const T& operator*() const { return value(); }
  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }
  const Error& error() const { return assert(!has_value()), x_error; }
  T value_or(T other) const { return has_value() ? *x_value : std::move(other); }

 private:
  std::optional<T> x_value;
  Error x_error;
};

template <>
class [[nodiscard]] Result<void> {
 public:
  Result() = default;
  Result(Error error) : x_error(std::move(error)) {}

  bool has_value() const { return !x_error; }
  explicit operator bool() const { return has_value(); }
  const Error& error() const { return assert(x_error), *x_error; }

 private:
  std::optional<Error> x_error;
};

}  // namespace shunt
