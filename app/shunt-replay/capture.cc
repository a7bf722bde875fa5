#include "capture.h"

#include <pcap/pcap.h>

namespace shunt::replay {

namespace {
constexpr int kSnapLength = 262144;
}

void CaptureReader::Close::operator()(pcap* p) const {
  pcap_close(p);
}
void CaptureWriter::Close::operator()(pcap* p) const {
  pcap_close(p);
}
void CaptureWriter::Close::operator()(pcap_dumper* p) const {
  pcap_dump_close(p);
}

Result<CaptureReader> CaptureReader::open(const std::string& path) {
  char why[PCAP_ERRBUF_SIZE] = "";
  CaptureReader reader;
  reader.x_path = path;
  reader.x_pcap.reset(
      pcap_open_offline_with_tstamp_precision(path.c_str(), PCAP_TSTAMP_PRECISION_NANO, why));
  if (!reader.x_pcap) {
    std::string reason = why;
    if (reason.rfind(path, 0) == 0) return Error{"cannot read the capture " + reason};
    return Error{"cannot read the capture " + path + ": " + reason};
  }
  int link = pcap_datalink(reader.x_pcap.get());
  if (link != DLT_EN10MB) {
    const char* name = pcap_datalink_val_to_name(link);
    return Error{path + ": its link type is " + (name ? name : std::to_string(link)) +
                 ", only Ethernet (EN10MB) can be replayed"};
  }
  return reader;
}

bool CaptureReader::next(Record& record) {
  pcap_pkthdr* header;
  const u_char* bytes;
  int status = pcap_next_ex(x_pcap.get(), &header, &bytes);
  if (status == 1) {
    record = {bytes, header->caplen, header->len,
              // Classic captures have 32 bits of seconds, which libpcap takes for signed.
              uint64_t{static_cast<uint32_t>(header->ts.tv_sec)} * 1'000'000'000 +
                  static_cast<uint64_t>(header->ts.tv_usec)};
    return true;
  }
  if (status == PCAP_ERROR) {
    x_truncated = true;
    x_complaint = x_path + ": the last record is cut short (" + pcap_geterr(x_pcap.get()) +
                  "), every whole record was processed";
  }
  return false;
}

Result<CaptureWriter> CaptureWriter::create(const std::string& path) {
  CaptureWriter writer;
  writer.x_pcap.reset(
      pcap_open_dead_with_tstamp_precision(DLT_EN10MB, kSnapLength, PCAP_TSTAMP_PRECISION_NANO));
  writer.x_dumper.reset(pcap_dump_open(writer.x_pcap.get(), path.c_str()));
  if (!writer.x_dumper)
    return Error{std::string("cannot write the capture: ") + pcap_geterr(writer.x_pcap.get())};
  return writer;
}

void CaptureWriter::write(const uint8_t* bytes, uint32_t size, uint64_t nanoseconds) {
  pcap_pkthdr header{};
  header.ts.tv_sec = static_cast<time_t>(nanoseconds / 1'000'000'000);
  header.ts.tv_usec = static_cast<suseconds_t>(nanoseconds % 1'000'000'000);
  header.caplen = header.len = size;
  pcap_dump(reinterpret_cast<u_char*>(x_dumper.get()), &header, bytes);
}

bool CaptureWriter::finish() {
  bool good = pcap_dump_flush(x_dumper.get()) == 0 && ferror(pcap_dump_file(x_dumper.get())) == 0;
  x_dumper.reset();
  return good;
}

}  // namespace shunt::replay
