// An HTTPS server on the JDK's own TLS stack that requires a client certificate.
//
// java JsseServer.java DIR: reads rsa.crt, rsa.key, ecdsa.crt, ecdsa.key and ca.crt (PEM, keys in PKCS#8) from DIR,
// builds PKCS#12 key stores from them in memory, listens on four ports chosen by the kernel and prints these:
// TLS 1.2 with RSA, TLS 1.2 with ECDSA, TLS 1.3 with RSA, TLS 1.3 with ECDSA. Ends when its standard input ends, so
// that it never outlives the test. x-seen-… headers tell how the request arrived.

import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpsConfigurator;
import com.sun.net.httpserver.HttpsExchange;
import com.sun.net.httpserver.HttpsParameters;
import com.sun.net.httpserver.HttpsServer;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.KeyFactory;
import java.security.KeyStore;
import java.security.PrivateKey;
import java.security.cert.Certificate;
import java.security.cert.CertificateFactory;
import java.security.cert.X509Certificate;
import java.security.spec.PKCS8EncodedKeySpec;
import java.util.Base64;
import java.util.concurrent.Executors;
import javax.net.ssl.KeyManagerFactory;
import javax.net.ssl.SSLContext;
import javax.net.ssl.SSLParameters;
import javax.net.ssl.TrustManagerFactory;

public class JsseServer {
    private static final char[] PASSWORD = "throw-away".toCharArray();

    public static void main(String[] arguments) throws Exception {
        Path directory = Path.of(arguments[0]);
        StringBuilder ports = new StringBuilder();
        for (String protocol : new String[] {"TLSv1.2", "TLSv1.3"}) {
            for (String[] key : new String[][] {{"rsa", "RSA"}, {"ecdsa", "EC"}}) {
                ports.append(start(directory, protocol, key[0], key[1])).append(' ');
            }
        }
        System.out.println(ports.toString().trim());
        System.out.flush();
        while (System.in.read() >= 0) { }
        System.exit(0);
    }

    private static int start(Path directory, String protocol, String name, String algorithm) throws Exception {
        SSLContext context = SSLContext.getInstance("TLS");
        context.init(keys(directory, name, algorithm).getKeyManagers(), trust(directory).getTrustManagers(), null);
        HttpsServer server = HttpsServer.create(new InetSocketAddress(InetAddress.getByName("127.0.0.1"), 0), 64);
        server.setHttpsConfigurator(new HttpsConfigurator(context) {
            @Override
            public void configure(HttpsParameters parameters) {
                SSLParameters tls = getSSLContext().getDefaultSSLParameters();
                tls.setNeedClientAuth(true);
                tls.setProtocols(new String[] {protocol});
                parameters.setSSLParameters(tls);
            }
        });
        server.createContext("/", JsseServer::answer);
        server.setExecutor(Executors.newCachedThreadPool(task -> {
            Thread thread = new Thread(task);
            thread.setDaemon(true);
            return thread;
        }));
        server.start();
        return server.getAddress().getPort();
    }

    private static KeyManagerFactory keys(Path directory, String name, String algorithm) throws Exception {
        byte[] der = pem(Files.readString(directory.resolve(name + ".key")));
        PrivateKey key = KeyFactory.getInstance(algorithm).generatePrivate(new PKCS8EncodedKeySpec(der));
        Certificate[] chain = certificates(directory.resolve(name + ".crt"));
        KeyStore store = KeyStore.getInstance("PKCS12");
        store.load(null, null);
        store.setKeyEntry("server", key, PASSWORD, chain);
        KeyManagerFactory factory = KeyManagerFactory.getInstance(KeyManagerFactory.getDefaultAlgorithm());
        factory.init(store, PASSWORD);
        return factory;
    }

    private static TrustManagerFactory trust(Path directory) throws Exception {
        KeyStore store = KeyStore.getInstance("PKCS12");
        store.load(null, null);
        int count = 0;
        for (Certificate certificate : certificates(directory.resolve("ca.crt"))) {
            store.setCertificateEntry("ca" + count++, certificate);
        }
        TrustManagerFactory factory = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
        factory.init(store);
        return factory;
    }

    private static Certificate[] certificates(Path file) throws Exception {
        CertificateFactory factory = CertificateFactory.getInstance("X.509");
        byte[] bytes = Files.readAllBytes(file);
        return factory.generateCertificates(new ByteArrayInputStream(bytes)).toArray(Certificate[]::new);
    }

    private static byte[] pem(String text) {
        String body = text.replaceAll("-----(BEGIN|END) PRIVATE KEY-----", "").replaceAll("\\s", "");
        return Base64.getDecoder().decode(body);
    }

    private static void answer(HttpExchange exchange) throws IOException {
        try (exchange) {
            HttpsExchange secure = (HttpsExchange) exchange;
            X509Certificate peer = (X509Certificate) secure.getSSLSession().getPeerCertificates()[0];
            var reply = exchange.getResponseHeaders();
            reply.set("x-seen-verify", "SUCCESS");
            reply.set("x-seen-dn", peer.getSubjectX500Principal().getName());
            reply.set("x-seen-serial", peer.getSerialNumber().toString(16));
            reply.set("x-seen-protocol", secure.getSSLSession().getProtocol());
            reply.set("x-seen-connection", exchange.getRemoteAddress().toString());
            var asked = exchange.getRequestHeaders();
            reply.set("x-seen-authorization", "<" + value(asked.getFirst("authorization")) + ">");
            reply.set("x-seen-host", value(asked.getFirst("host")));
            reply.set("x-seen-xfcc", "<" + value(asked.getFirst("x-forwarded-client-cert")) + ">");
            reply.set("x-seen-traceparent", "<" + value(asked.getFirst("traceparent")) + ">");
            reply.set("x-seen-request-id", "<" + value(asked.getFirst("x-request-id")) + ">");
            byte[] body = exchange.getRequestBody().readAllBytes();
            String path = exchange.getRequestURI().getRawPath();
            if (path.startsWith("/bytes/")) {
                body = pattern(Integer.parseInt(path.substring("/bytes/".length())));
            } else if (!path.startsWith("/echo")) {
                body = ("no such thing: " + path).getBytes(StandardCharsets.UTF_8);
            }
            boolean head = exchange.getRequestMethod().equals("HEAD");
            if (head) {
                reply.set("content-length", Integer.toString(body.length));
            }
            // chunked on request, so that both framings come from a real server
            boolean chunked = "chunked".equals(exchange.getRequestURI().getRawQuery());
            long length = head || body.length == 0 ? -1 : chunked ? 0 : body.length;
            exchange.sendResponseHeaders(path.startsWith("/bytes/") || path.startsWith("/echo") ? 200 : 404, length);
            if (length >= 0) {
                try (OutputStream out = exchange.getResponseBody()) {
                    out.write(body);
                }
            }
        }
    }

    private static String value(String header) {
        return header == null ? "" : header;
    }

    // the same bytes as support/origin.rs
    private static byte[] pattern(int size) {
        int state = 0x2545f491;
        byte[] bytes = new byte[size];
        for (int index = 0; index < size; index++) {
            state ^= state << 13;
            state ^= state >>> 17;
            state ^= state << 5;
            bytes[index] = (byte) state;
        }
        return bytes;
    }
}
