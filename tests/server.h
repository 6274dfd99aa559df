// `perennial serve` as a process, and plain requests to it.
// Threads: as Process.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <array>
#include <cstdint>
#include <sstream>
#include <string>

#include "base/file.h"
#include "program.h"

namespace perennial::test {

struct Answer {
    int status = 0;  // 0: no whole answer came
    std::string body, head;

    // As it is written by the server; empty when there is none.
    std::string header(const std::string& name) const {
        const auto at = head.find("\r\n" + name + ": ");
        if (at == std::string::npos) return {};
        const auto begin = at + name.size() + 4;
        return head.substr(begin, head.find("\r\n", begin) - begin);
    }
};

// One request over a connection of its own. `headers`: more of them, each with its line end.
inline Answer ask(std::uint16_t port, const std::string& method, const std::string& path, const std::string& body = {}, const std::string& headers = "Content-Type: application/json\r\n") {
    Fd connection(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const timeval limit{20, 0};
    ::setsockopt(connection.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    if (::connect(connection.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) return {};
    const std::string request = method + " " + path + " HTTP/1.1\r\nHost: 127.0.0.1:" + std::to_string(port) + "\r\nConnection: close\r\n" + headers + "Content-Length: " +
                                std::to_string(body.size()) + "\r\n\r\n" + body;
    if (!write_all(connection.get(), request, "socket")) return {};
    std::string all;
    std::array<char, 65536> bytes;
    for (ssize_t got; (got = ::recv(connection.get(), bytes.data(), bytes.size(), 0)) > 0;) all.append(bytes.data(), static_cast<std::size_t>(got));
    const auto end = all.find("\r\n\r\n");
    if (!all.starts_with("HTTP/1.1 ") || end == std::string::npos) return {};
    return {std::stoi(all.substr(9, 3)), all.substr(end + 4), all.substr(0, end + 2)};
}

// `perennial serve` on a free port, ready for requests.
class Server {
public:
    explicit Server(const fs::path& shop) : process_(perennial({"serve", "--shop", shop, "--listen", "127.0.0.1:0"}), {.time_limit = Seconds(120)}) {
        const std::string before_port = "http://127.0.0.1:";
        if (!process_.wait_for_output("Ctrl-C stops", Seconds(30))) {
            std::ostringstream text;
            text << "the server did not start: " << process_.finish();
            throw std::runtime_error(text.str());
        }
        port_ = static_cast<std::uint16_t>(std::stoi(process_.out().substr(process_.out().find(before_port) + before_port.size())));
    }
    std::uint16_t port() const { return port_; }
    Process& process() { return process_; }
    Answer get(const std::string& path) const { return ask(port_, "GET", path); }
    Answer post(const std::string& path, const std::string& body) const { return ask(port_, "POST", path, body); }

private:
    Process process_;
    std::uint16_t port_ = 0;
};

}  // namespace perennial::test
