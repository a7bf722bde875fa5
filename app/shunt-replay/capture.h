// Captures in and out (libpcap). Ethernet only; timestamps in nanoseconds.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "base/result.h"

struct pcap;
struct pcap_dumper;

namespace shunt::replay {

struct Record {
  const uint8_t* bytes = nullptr;  ///< valid until the next record is read
  uint32_t captured = 0;           ///< bytes that are there
  uint32_t length = 0;             ///< bytes the frame had on the wire
  uint64_t nanoseconds = 0;        ///< since the epoch
};

class CaptureReader {
 public:
  /// Errors: not readable, not a capture, a link type other than Ethernet.
  static Result<CaptureReader> open(const std::string& path);

  /// False at the end. A record cut short ends the capture too; then truncated() says so.
  bool next(Record& record);
  bool truncated() const { return x_truncated; }
  const std::string& complaint() const { return x_complaint; }

 private:
  struct Close {
    void operator()(pcap* p) const;
  };
  std::unique_ptr<pcap, Close> x_pcap;
  std::string x_path;
  bool x_truncated = false;
  std::string x_complaint;
};

class CaptureWriter {
 public:
  static Result<CaptureWriter> create(const std::string& path);
  void write(const uint8_t* bytes, uint32_t size, uint64_t nanoseconds);
  /// Flushes; false if anything could not be written.
  bool finish();

 private:
  struct Close {
    void operator()(pcap* p) const;
    void operator()(pcap_dumper* p) const;
  };
  std::unique_ptr<pcap, Close> x_pcap;
  std::unique_ptr<pcap_dumper, Close> x_dumper;
};

}  // namespace shunt::replay
