#include "dataplane/queues.h"

#include <string>

namespace shunt::dataplane {

namespace {

Result<share::Mailbox<rte_mbuf*>*> connect(share::Board& board, unsigned from, unsigned to,
                                           uint8_t port, bool to_twin) {
  std::string name = "send_" + std::to_string(port) + (to_twin ? "t_" : "_") + std::to_string(from);
  auto made = share::Mailbox<rte_mbuf*>::create(name, kHandoverSlots, SOCKET_ID_ANY);
  if (!made) return made.error();
  auto* mailbox = made->get();
  board.desks[to]->handovers.push_back({std::move(*made), port, to_twin});
  return mailbox;
}

}  // namespace

Result<void> give_queues(share::Board& board, const QueueCounts& counts, unsigned worker,
                         uint8_t index, WorkerPort& port) {
  const auto workers = static_cast<unsigned>(board.desks.size());
  const auto own = static_cast<uint16_t>(worker);
  if (worker < counts.nic_rx) {
    port.rx_queue = own;
    port.more_rx_queues = static_cast<uint16_t>((counts.nic_rx - 1 - worker) / workers);
  }
  if (worker < counts.twin_rx) port.twin_queue = own;
  if (worker < counts.nic_tx) {
    port.tx_queue = own;
  } else {
    auto sender = connect(board, worker, worker % counts.nic_tx, index, false);
    if (!sender) return sender.error();
    port.nic_sender = *sender;
  }
  if (worker < counts.twin_tx) {
    port.twin_tx_queue = own;
  } else {
    auto sender = connect(board, worker, worker % counts.twin_tx, index, true);
    if (!sender) return sender.error();
    port.twin_sender = *sender;
  }
  return {};
}

}  // namespace shunt::dataplane
